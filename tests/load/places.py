"""Where a random split with a hash key sends keys, written from docs/experiments.md alone: {"keys", "weights"} on standard input, indices on standard output."""
import json
import re
import struct
import sys

MASK = 0xFFFFFFFF


def murmur3(data, seed=0):
    """MurmurHash3, x86, 32 bits."""
    left = lambda x, by: ((x << by) | (x >> (32 - by))) & MASK
    scrambled = lambda k: left(k * 0xCC9E2D51 & MASK, 15) * 0x1B873593 & MASK
    h = seed
    blocks = len(data) // 4
    for k in struct.unpack_from(f"<{blocks}I", data):
        h = (left(h ^ scrambled(k), 13) * 5 + 0xE6546B64) & MASK
    rest = data[4 * blocks:]
    if rest:
        h ^= scrambled(int.from_bytes(rest, "little"))
    h ^= len(data)
    for factor, by in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        h = (h ^ (h >> by)) * factor & MASK
    return h ^ (h >> 16)


assert [murmur3(text) for text in (b"", b"hello", b"hello, world", b"The quick brown fox jumps over the lazy dog")] == [0, 0x248BFA47, 0x149BBB7F, 0x2E4FF723]


def place(key):
    number = float(key) if re.fullmatch(r"[0-9]*\.?[0-9]+([eE]-?[0-9]+)?", key) else -1
    return number if 0 <= number <= 1 else murmur3(key.encode()) / 2**32


def index(key, weights):
    total, passed = sum(weights), 0
    for i, weight in enumerate(weights):
        passed += weight
        if place(key) * total < passed:
            return i
    return max(i for i, weight in enumerate(weights) if weight > 0)


given = json.load(sys.stdin)
print(json.dumps([index(key, given["weights"]) for key in given["keys"]]))
