import { open, type FileHandle } from 'node:fs/promises';

export interface OnnxHeader {
  irVersion?: number;
  producer?: string;
  /** Opset version by domain; '' is written as `ai.onnx`. */
  opsets: Record<string, number>;
}

/** Reads protobuf fields at a position of a file without reading what lies between: a graph may have gigabytes. */
class Fields {
  readonly #file: FileHandle;
  readonly #buffer = Buffer.alloc(4096);
  #from = 0;
  #held = 0;
  at = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async byte(): Promise<number | undefined> {
    if (this.at < this.#from || this.at >= this.#from + this.#held) {
      this.#from = this.at;
      this.#held = (await this.#file.read(this.#buffer, 0, this.#buffer.length, this.at)).bytesRead;
      if (this.#held === 0) return undefined;
    }
    return this.#buffer[this.at++ - this.#from];
  }

  async varint(): Promise<number | undefined> {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const b = await this.byte();
      if (b === undefined) return undefined;
      value += (b & 127) * 2 ** shift;
      if (b < 128) return value;
    }
    return undefined;
  }

  async text(length: number): Promise<string> {
    const bytes: number[] = [];
    for (let i = 0; i < Math.min(length, 256); i++) bytes.push((await this.byte()) ?? 0);
    return Buffer.from(bytes).toString('utf8');
  }
}

/** ModelProto fields 1 ir_version, 2 producer_name and 8 opset_import {1 domain, 2 version}; all else is skipped. */
export async function readOnnxHeader(path: string): Promise<OnnxHeader> {
  const header: OnnxHeader = { opsets: {} };
  const file = await open(path);
  try {
    const fields = new Fields(file);
    for (;;) {
      const key = await fields.varint();
      if (key === undefined) return header;
      const value = key % 8 === 0 || key % 8 === 2 ? await fields.varint() : undefined;
      if (value === undefined) return header;
      if (key === 8) header.irVersion = value;
      if (key % 8 !== 2) continue;
      const end = fields.at + value;
      if (key === 18) header.producer = await fields.text(value);
      if (key === 66) {
        let domain = '';
        while (fields.at < end) {
          const inner = await fields.varint();
          const v = await fields.varint();
          if (inner === undefined || v === undefined) return header;
          if (inner === 10) domain = await fields.text(v);
          else if (inner === 16) header.opsets[domain === '' ? 'ai.onnx' : domain] = v;
        }
      }
      fields.at = end;
    }
  } finally {
    await file.close();
  }
}
