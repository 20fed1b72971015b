import { isPotorooError, PotorooError } from '@potoroo/contract/plain';

/** The part of ONNX Runtime's text that helps a person: no source paths, no C++ signatures, no log prefix. */
export function usefulPart(text: string): string {
  return text
    .replace(/Load model from .*? failed:\s*/s, '')
    .replace(/Load model \S+ failed\.\s*/, '')
    .replace(/Non-zero status code returned while running (\S+) node\. Name:'([^']*)' Status Message:\s*/s, (_, operator: string, name: string) => `${operator} node${name === '' ? '' : ` '${name}'`}: `)
    .replace(/\/onnxruntime_src\/\S+:\d+\s+(?:[^\n]*?\))?\s*/g, '')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 500);
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Why a file could not be loaded, in our codes. */
export function loadError(error: unknown): PotorooError {
  if (isPotorooError(error)) return error;
  const text = error instanceof Error ? error.message : String(error);
  const refuse = (code: 'model_invalid' | 'model_unsupported', detail: string): PotorooError => new PotorooError(code, detail, { cause: error });
  const ir = /Unsupported model IR version: (\d+), max supported IR version: (\d+)/.exec(text);
  if (ir) return refuse('model_unsupported', `The model has ONNX IR version ${ir[1]}; this runtime reads up to ${ir[2]}. Export it with an older IR version.`);
  const opset = /Opset (\d+) is under development.*?domain (\S+) is till opset (\d+)/s.exec(text);
  if (opset) return refuse('model_unsupported', `The model uses opset ${opset[1]} of ${opset[2]}; this runtime has opsets up to ${opset[3]}. Export it with opset ${opset[3]} or lower.`);
  const unknown = /(?:Fatal error: )?(\S+?)\((-?\d+)\) is not a registered function\/op/.exec(text) ?? /No Op registered for (\S+) with domain_version of (\d+)/.exec(text);
  if (unknown) return refuse('model_unsupported', `The model uses the operator ${unknown[1]}, which this runtime does not have. Export it with standard operators only.`);
  const kernel = /Could not find an implementation for (\S+?)\((\d+)\)/.exec(text);
  if (kernel) return refuse('model_unsupported', `This runtime has no implementation of the operator ${kernel[1]} (version ${kernel[2]}) for the element types the model uses. Export it with other types.`);
  if (/external data|External data|GetExtDataFromTensorProto|ReadExternalData/.test(text)) return refuse('model_invalid', "The model keeps its weights in a second file. Save it as one file (onnx.save(model, path, save_as_external_data=False)).");
  if (/Protobuf parsing failed|does not have a graph/.test(text)) return refuse('model_invalid', 'The file is not an ONNX model, or it is cut off. Upload the .onnx file as the exporter wrote it.');
  if (/Failed to load model because protobuf|File doesn't exist|system error number/.test(text)) return refuse('model_invalid', sentence(`The model file cannot be read: ${usefulPart(text)}`));
  return refuse('model_invalid', sentence(`The file could not be loaded as an ONNX model: ${usefulPart(text)}`));
}

/** Why a run failed. The model's own words are kept: who owns the model needs them. */
export function runError(error: unknown): PotorooError {
  if (isPotorooError(error)) return error;
  return new PotorooError('inference_failed', sentence(`The model failed on this data: ${usefulPart(error instanceof Error ? error.message : String(error))}`), { cause: error });
}
