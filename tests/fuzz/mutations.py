"""Damage: of any bytes, of trees of JSON, and of each format where its reader believes what it says of itself."""

from __future__ import annotations

import copy
import gzip
import io
import json
import struct
import zipfile
import zlib

from minigrad import checkpoint, formats

NUMBERS = [0, 1, -1, 2, 3, 7, 8, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**53 + 1,
           2**62, 2**63 - 1, 2**63, 2**64 - 1]
VALUES = [None, True, False, *NUMBERS, 10**30, 10**400, 0.5, -0.0, 1e308, -1e308, 1e-320, float("nan"), float("inf"),
          "", "a", "mlp", "adam", "<script>alert(1)</script>", "\0", "\ud800", "../../x", "é" * 99, "9" * 5000, [],
          {}, [[]], {"$array": "0.weight"}, {"$array": []}, {"$tuple": 3}, {"$items": [[[], 1]]}, {"$items": [[1]]},
          [0] * 999]
DTYPES = ["F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "C64", "F8_E4M3", "F4", "", "object", "é"]
DESCR = ["'<f4'", "'>f8'", "'|O'", "'|b1'", "'<U3'", "'<U0'", "'V8'", "'<c16'", "'<M8[ns]'", "[('a', '<f4')]",
         "'f4,f4'", "('<f4', (2, 3))", "'\\<f4'", "'<f99'", "'e'", "None", "1"]
SHAPES = ["()", "(0,)", "(-1,)", "(3, -2)", "(9223372036854775807,)", "(0, 9223372036854775807)", "(1L,)", "(True,)",
          "(2.0,)", "[2, 3]", "3", "(4294967296, 4294967296)", "(1,) * 9", "(" + "1," * 70 + ")", "(" * 300, "(1or 2,)"]
DEEP = "[" * 100_000


def number(rng):
    n = NUMBERS[rng.integers(len(NUMBERS))] + int(rng.integers(-1, 2)) * int(rng.random() < 0.3)
    return n if rng.random() < 0.9 else int(rng.integers(2**31))


def choice(rng, options):
    return options[int(rng.integers(len(options)))]


def anywhere(rng, data: bytes, others: list[bytes]) -> bytes:
    """Bytes that were changed, cut, put in, taken out, doubled, or taken from another file."""
    data, n = bytearray(data), max(len(data), 1)
    for _ in range(int(choice(rng, [1, 1, 1, 2, 4, 16]))):
        at = int(rng.integers(min(n, 200) if rng.random() < 0.4 else n))  # headers come first
        some = int(min(rng.geometric(0.05), n))
        kind = rng.integers(9)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << int(rng.integers(8))
        elif kind == 1 and data:
            data[at % len(data)] = int(choice(rng, [0, 1, 0x7F, 0x80, 0xFF, *b"\"'[]{}<>,:-", int(rng.integers(256))]))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at:at + some]
        elif kind == 4:
            data[at:at] = rng.bytes(some)
        elif kind == 5:
            data[at:at] = data[at:at + some] * int(rng.integers(1, 4))
        elif kind == 6:
            width, order = int(choice(rng, [2, 4, 8])), choice(rng, ["little", "big"])
            data[at:at + width] = (number(rng) % 2 ** (8 * width)).to_bytes(width, order)
        elif kind == 7:
            other = choice(rng, others)
            cut = int(rng.integers(len(other) + 1))
            data[at:] = other[cut:] if rng.random() < 0.5 else other[at:]
        else:
            data += bytes(some) if rng.random() < 0.5 else rng.bytes(some)
        n = max(len(data), 1)
    return bytes(data)


# ---- JSON ----
def tree(rng, value, times=None):
    """A copy of nested dicts and lists with some places changed, taken away, doubled or moved."""
    value = copy.deepcopy(value)
    for _ in range(times or int(rng.integers(1, 4))):
        holders = [h for h in _holders(value) if h]
        if not holders:
            return choice(rng, VALUES)
        holder = choice(rng, holders)
        key = choice(rng, list(holder) if isinstance(holder, dict) else range(len(holder)))
        kind, old = rng.integers(6), holder[key]
        if kind <= 2:
            holder[key] = copy.deepcopy(choice(rng, VALUES))
            if isinstance(old, (int, float)) and abs(old) < 2**64 and rng.random() < 0.6:
                holder[key] = choice(rng, [number(rng), old + 1, old - 1, -old, old * 10**9, float(old), str(old)])
        elif kind == 3:
            del holder[key]
        elif kind == 4 and isinstance(holder, list):
            holder.insert(key, old)
        elif kind == 4:
            holder[choice(rng, ["", "a", "__metadata__", "$array", "\0", key.upper()])] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(choice(rng, holders))
    return value


def _holders(value):
    if isinstance(value, (dict, list)):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


def dumped(rng, value) -> bytes:
    text = json.dumps(value, ensure_ascii=bool(rng.integers(2)))
    if rng.random() < 0.05:
        text = choice(rng, [text[:-1] + ', "model": 1, "model": 2}', DEEP, text.replace('"', "'"), "\ufeff" + text,
                            text.replace("1", "1e999"), '{"a":' * 50_000, text + text])
    return text.encode("utf-8", "surrogatepass")


def config(rng, data, others):
    return dumped(rng, tree(rng, json.loads(data)))


# ---- arrays ----
def idx(rng, data, others):
    if data[:2] == b"\x1f\x8b":
        inside = gzip.decompress(data), [gzip.decompress(o) for o in others]
        inner = (idx if rng.random() < 0.5 else anywhere)(rng, *inside)
        packed = gzip.compress(inner, 1, mtime=0)
        return packed + choice(rng, [b"", b"", b"\0" * 9, packed, b"junk"]) if rng.random() < 0.3 else packed
    data, at = bytearray(data), int(rng.integers(4))
    if at < 2:
        data[2 + at] = int(choice(rng, [0, 1, 2, 3, 8, 9, 11, 12, 13, 14, 64, 65, 255]))
    else:
        place = 4 + 4 * int(rng.integers(max(data[3], 1)))
        old = int.from_bytes(data[place:place + 4], "big")
        data[place:place + 4] = (choice(rng, [number(rng), old + 1, old - 1, old * 2]) % 2**32).to_bytes(4, "big")
    return bytes(data)


def safetensors(rng, data, others):
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    kind = rng.integers(6)
    if kind == 0:
        length = choice(rng, [number(rng), length + 1, length - 1, len(data), len(data) - 8]) % 2**64
        return length.to_bytes(8, "little") + data[8:]
    tensors = [key for key in header if key != "__metadata__"]
    one = header[choice(rng, tensors)]
    if kind == 1:
        one["dtype"] = choice(rng, DTYPES)
    elif kind == 2:
        one["data_offsets"][int(rng.integers(2))] = choice(rng, [number(rng), *one["data_offsets"], len(body) + 1])
    elif kind == 3:
        one["shape"] = choice(rng, [one["shape"] + [1], one["shape"][1:], [number(rng)], [2**32, 2**32], [0, 2**62],
                                    one["shape"][::-1], [*one["shape"], 0], [1] * 70])
    elif kind == 4:
        other = header[choice(rng, tensors)]
        one["data_offsets"], other["data_offsets"] = other["data_offsets"], one["data_offsets"]
    else:
        header = tree(rng, header)
    text = json.dumps(header).encode() if kind < 5 else dumped(rng, header)
    if rng.random() < 0.1:
        text = text.replace(b"{", b'{"0.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, ', 1)
    return len(text).to_bytes(8, "little") + text + body


def npy(rng, data, others):
    length = struct.unpack("<H", data[8:10])[0]
    header, body = data[10:10 + length].decode("latin1"), data[10 + length:]
    kind = rng.integers(6)
    before, after = header.split("'shape': ")[0], ", }\n"
    if kind == 0:
        header = f"{before}'shape': {choice(rng, SHAPES)}{after}"
    elif kind == 1:
        header = f"{before}'shape': ({number(rng)}, {number(rng)}){after}"
    elif kind == 2:
        header = f"{{'descr': {choice(rng, DESCR)}, " + header.split(", ", 1)[1]
    elif kind == 3:
        header = header.replace("False", choice(rng, ["True", "None", "0", "[]"]))
    elif kind == 4:
        return data[:6] + bytes([int(rng.integers(5)), int(rng.integers(3))]) + data[8:]
    else:
        return anywhere(rng, data[:10 + length], others)[:10 + length] + body
    text = header.encode("latin1", "replace")
    return data[:8] + struct.pack("<H", len(text) % 2**16) + text + body


CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
FIELDS = {CENTRAL: [(6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4)],
          LOCAL: [(4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)],
          END: [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)]}


def npz(rng, data, others):
    if rng.random() < 0.5:
        return _repacked(rng, data, others)
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 3))):
        mark = choice(rng, list(FIELDS))
        places = [i for i in range(len(data) - 3) if data[i:i + 4] == mark] or [0]
        offset, width = choice(rng, FIELDS[mark])
        at = choice(rng, places) + offset
        old = int.from_bytes(data[at:at + width], "little")
        new = choice(rng, [number(rng), old + 1, old - 1, old ^ 1, old * 1000]) % 2 ** (8 * width)
        data[at:at + width] = new.to_bytes(width, "little")
    return bytes(data)


def _repacked(rng, data, others):
    """A whole archive of members that are damaged, doubled, or called or packed in other ways."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info), info.compress_type) for info in archive.infolist()]
    out, which = io.BytesIO(), int(rng.integers(len(members)))
    name, content, how = members[which]
    kind = rng.integers(6)
    if kind <= 1:
        content = npy(rng, content, others) if rng.random() < 0.7 else anywhere(rng, content, others)
    elif kind == 2:
        name = choice(rng, ["../x.npy", "/x.npy", "a/../../x.npy", "C:\\x.npy", "x.txt", "", "a/", "é.npy", "\\x.npy",
                            members[0][0], formats.JSON_IN_NPZ + ".npy"])
    elif kind == 3:
        how = int(choice(rng, [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    elif kind == 4:
        zeros = b"\x93NUMPY\x01\x00" + struct.pack("<H", 70) + (b"{'descr': '|u1', 'fortran_order': False, 'shape': "
                                                                b"(1000000,), }").ljust(69) + b"\n" + bytes(10**6)
        content, how = zeros, zipfile.ZIP_DEFLATED
    members[which:which + 1] = [(name, content, how)] * (2 if kind == 5 else 1)
    import warnings
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # of a second member with one name
        for name, content, how in members:
            archive.writestr(zipfile.ZipInfo(name), content, how)
    return out.getvalue()


# ---- pictures ----
def png(rng, data, others):
    """Chunks with other contents and the right checksums; doubled, lost, moved."""
    chunks, at = [], 8
    while at < len(data):
        length = struct.unpack(">I", data[at:at + 4])[0]
        chunks.append((data[at + 4:at + 8], data[at + 8:at + 8 + length]))
        at += 12 + length
    which = int(rng.integers(len(chunks)))
    name, content = chunks[which]
    kind = rng.integers(6)
    if kind <= 1:
        header, at = bytearray(chunks[0][1]), int(rng.integers(7))
        if at < 2:
            header[4 * at:4 * at + 4] = struct.pack(">I", number(rng) % 2**32)
        else:
            header[6 + at] = int(choice(rng, [0, 1, 2, 3, 4, 6, 8, 16, 255]))
        chunks[0] = b"IHDR", bytes(header)
    elif kind == 2 and name == b"IDAT":
        chunks[which] = name, zlib.compress(anywhere(rng, zlib.decompress(content), others))
    elif kind == 3:
        chunks[which] = name, anywhere(rng, content, others)
    elif kind == 4:
        chunks.insert(int(rng.integers(len(chunks) + 1)), choice(rng, [
            (name, content), (b"tRNS", rng.bytes(3)), (b"PLTE", rng.bytes(9)), (b"zTXt", b"a\0\0" + zlib.compress(
                bytes(3 * 10**6))), (b"iCCP", b"a\0\0" + zlib.compress(bytes(10**6))), (b"eXIf", rng.bytes(30)),
            (b"acTL", struct.pack(">II", number(rng) % 2**32, 0)), (b"IEND", b"")]))
    else:
        del chunks[which]
    return data[:8] + b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c))
                               for n, c in chunks)


def jpg(rng, data, others):
    """A marker's segment with another length, or the frame with another size."""
    data = bytearray(data)
    marks = [i for i in range(len(data) - 12) if data[i] == 0xFF and data[i + 1] not in (0, 0xFF, 0xD8, 0xD9)]
    at = choice(rng, marks or [0])
    if data[at + 1] in (0xC0, 0xC2) and rng.random() < 0.7:
        place = at + 4 + int(rng.integers(1, 6))
        data[place:place + 2] = struct.pack(">H", number(rng) % 2**16)
    elif rng.random() < 0.5:
        data[at + 2:at + 4] = struct.pack(">H", number(rng) % 2**16)
    else:
        data[at + 1] = int(rng.integers(0xC0, 256))
    return bytes(data)


# ---- tables ----
CELLS = ["", "nan", "inf", "-inf", "-1", "0", "1.5", "1e999", "1_0", "0x1", "x", '"', '"1"', '"a\nb"', "\0", "9" * 5000,
         "<b>", "1,1", " 1", "١", "\ud800", "-0"]


def csv(rng, data, others):
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(int(rng.integers(1, 3))):
        y = int(rng.integers(len(rows)))
        x = int(rng.integers(max(len(rows[y]), 1)))
        kind = rng.integers(6)
        if kind <= 2 and rows[y]:
            rows[y][x % len(rows[y])] = choice(rng, CELLS)
        elif kind == 3:
            rows.insert(int(rng.integers(len(rows) + 1)), list(rows[y]))
        elif kind == 4:
            rows[y].insert(x, choice(rng, CELLS))
        elif rows[y]:
            del rows[y][x % len(rows[y])]
    if rng.random() < 0.02:
        rows += [rows[-1]] * 2000 + [["1" * 200_000]]
    return choice(rng, ["\n", "\n", "\n", "\r\n", "\r"]).join(map(",".join, rows)).encode("utf-8", "surrogatepass")


# ---- whole files with a checksum that fits ----
def metadata(rng, path, only=None):
    """Write the model file anew, with other texts; only: of this one."""
    arrays, text = formats.read(path)
    text.pop(checkpoint.CHECKSUM, None)
    key = only or choice(rng, sorted(text))
    text[key] = dumped(rng, tree(rng, json.loads(text[key]))).decode("utf-8", "replace").replace("\0", " ")
    text[checkpoint.CHECKSUM] = json.dumps(checkpoint._checksum(arrays, text))
    from safetensors.numpy import save
    path.write_bytes(save(arrays, text))


STRUCTURED = {"idx": idx, "idx.gz": idx, "safetensors": safetensors, "npz": npz, "npy": npy, "png": png, "jpg": jpg,
              "csv": csv, "json": config}


def mutated(rng, kind: str, data: bytes, others: list[bytes]) -> bytes:
    """A damaged copy of a file of this kind; ``others``: files that parts may come from."""
    for _ in range(int(choice(rng, [1, 1, 1, 2]))):
        try:
            if rng.random() < 0.65:
                data = STRUCTURED[kind](rng, data, others)
                continue
        except Exception:  # what was damaged before has no structure any more
            pass
        data = anywhere(rng, data, others)
    return data
