#!/usr/bin/env python3
"""Makes tests/unit/images.h: small PNG and JPEG files of every kind, and what Pillow and torchvision's rule make of them.

    pip install 'pillow<13' && tests/unit/images.py >tests/unit/images.h

The rule: convert to RGB (or L), resize until the picture covers the size, cut the centre out of it.
"""
import io
import math

import PIL
from PIL import Image


def wave(w, h, channels):
    def value(x, y, c):
        return int(128 + 80 * math.sin(x / (2.3 + c)) * math.cos(y / (3.1 - c / 2)) + (x * 29 + y * 53 + c * 17) % 41)

    return bytes(value(x, y, c) for y in range(h) for x in range(w) for c in range(channels))


def picture(mode, w, h):
    return Image.frombytes(mode, (w, h), wave(w, h, len(Image.new(mode, (1, 1)).getbands())))


def packed(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def cover(image, height, width):
    w, h = image.size
    if (w, h) == (width, height):
        return image
    wide = width * h >= height * w
    new = (width, width * h // w) if wide else (height * w // h, height)
    left, top = int(round((new[0] - width) / 2)), int(round((new[1] - height) / 2))
    return image.resize(new, Image.BILINEAR).crop((left, top, left + width, top + height))


FILES = [
    ("rgb", packed(picture("RGB", 19, 13), format="PNG")),
    ("grey", packed(picture("L", 12, 17), format="PNG")),
    ("alpha", packed(picture("RGBA", 11, 9), format="PNG")),
    ("grey alpha", packed(picture("LA", 10, 10), format="PNG")),
    ("palette", packed(picture("RGB", 14, 9).quantize(23), format="PNG")),
    ("one bit", packed(picture("L", 21, 10).convert("1"), format="PNG")),
    ("jpeg", packed(picture("RGB", 18, 14), format="JPEG", quality=90)),
    ("jpeg grey", packed(picture("L", 15, 16), format="JPEG", quality=90)),
    ("jpeg progressive", packed(picture("RGB", 16, 13), format="JPEG", quality=80, progressive=True)),
    ("jpeg cmyk", packed(picture("CMYK", 13, 12), format="JPEG", quality=90)),
]


def array(data):
    lines, line = [], "    "
    for b in data:
        if len(line) > 115:
            lines.append(line)
            line = "    "
        line += f"{b},"
    return "\n".join(lines + [line])


print(f"/* images.h -- made by images.py with Pillow {PIL.__version__}. */")
print("#ifndef IMAGES_H\n#define IMAGES_H\n\n#include <stddef.h>\n#include <stdint.h>\n")
rows = []
for i, (name, data) in enumerate(FILES):
    print(f"static const uint8_t file_{i}[] = {{\n{array(data)}\n}};")
    for k, (channels, height, width) in enumerate([(3, 6, 7), (1, 9, 5)]):
        image = cover(Image.open(io.BytesIO(data)).convert("RGB" if channels == 3 else "L"), height, width)
        flat = image.tobytes()
        planes = bytes(flat[p * channels + c] for c in range(channels) for p in range(height * width))
        print(f"static const uint8_t want_{i}_{k}[] = {{\n{array(planes)}\n}};")
        rows.append(f'    {{"{name}", file_{i}, sizeof file_{i}, {channels}, {height}, {width}, want_{i}_{k}}},')
print("\nstatic const struct Golden {\n    const char *name;\n    const uint8_t *file;\n    size_t n;\n"
      "    int channels, height, width;\n    const uint8_t *want;\n} goldens[] = {")
print("\n".join(rows))
print("};\n\n#endif")
