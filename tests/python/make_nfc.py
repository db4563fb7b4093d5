"""Makes the library's table of canonical decompositions and the digests that its normalization is tested with.

usage: python3 make_nfc.py ../../lib/NeuronQuant/Tokenization/Nfc.txt ../NeuronQuant.Tests/Golden/nfc.json
(needs nothing but Python; the Unicode version is that of its unicodedata, and stands in both files)
"""
import hashlib
import json
import sys
import unicodedata

POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def table():
    yield f"# Unicode {unicodedata.unidata_version}, made by tests/python/make_nfc.py"
    yield "# = composes and decomposes, > decomposes only, c combining class of a range; code points are hexadecimal"
    for c in POINTS:
        parts = unicodedata.decomposition(chr(c))
        if parts and not parts.startswith("<"):
            yield f"{'=' if unicodedata.normalize('NFC', chr(c)) == chr(c) else '>'} {c:X} {parts}"
    start, last = 0, 0
    for c in [*range(0x110000), 0x110000]:
        value = unicodedata.combining(chr(c)) if c < 0x110000 else 0
        if value != last:
            if last:
                yield f"c {start:X} {c - 1:X} {last}"
            start, last = c, value


def digest(texts):
    return hashlib.sha256("\n".join(unicodedata.normalize("NFC", text) for text in texts).encode()).hexdigest()


def mixed():
    """Texts of bases and marks, drawn by a fixed generator."""
    marks = [c for c in POINTS if unicodedata.combining(chr(c))]
    bases = [c for c in POINTS if unicodedata.decomposition(chr(c))[:1] not in ("", "<")] + list(range(0x1100, 0x11C3)) + [*range(0x41, 0x7B)]
    state, mask = 1, (1 << 64) - 1
    for _ in range(200):
        text = ""
        for i in range(8):
            state = (state * 6364136223846793005 + 1442695040888963407) & mask
            source = bases if i % 3 == 0 else marks
            text += chr(source[(state >> 33) % len(source)])
        yield text


with open(sys.argv[1], "w", encoding="ascii", newline="\n") as target:
    target.write("\n".join(table()) + "\n")
golden = {
    "made_by": "tests/python/make_nfc.py",
    "unicode": unicodedata.unidata_version,
    "each_point": digest(chr(c) for c in POINTS),
    "between": digest(f"a{chr(c)}\u0301\u0323" for c in POINTS),
    "mixed": [[text, unicodedata.normalize("NFC", text)] for text in mixed()],
}
with open(sys.argv[2], "w", encoding="ascii", newline="\n") as target:
    json.dump(golden, target, indent=1)
    target.write("\n")
