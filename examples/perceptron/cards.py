#!/usr/bin/env python3
"""Writes cards-images.idx.gz and cards-labels.idx.gz: 200 cards of 20 x 20 points, marked on the left or the right.

A mark is a dark square of 4 to 7 points that does not cross the middle; a few points of dirt lie anywhere.
"""
import gzip
import random
import struct

random.seed(1957)
SIZE, CARDS = 20, 200
images, labels = bytearray(), bytearray()
for n in range(CARDS):
    side = n % 2
    width = random.randint(4, 7)
    left = side * SIZE // 2 + random.randint(0, SIZE // 2 - width)
    top = random.randint(0, SIZE - width)
    card = [[255 if left <= x < left + width and top <= y < top + width else 0 for x in range(SIZE)] for y in range(SIZE)]
    for _ in range(4):
        card[random.randrange(SIZE)][random.randrange(SIZE)] = 255
    images += bytes(v for row in card for v in row)
    labels.append(side)


def write(name, magic, dims, data):
    with open(name, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as f:
        f.write(struct.pack(f">I{len(dims)}I", magic, *dims) + data)


write("cards-images.idx.gz", 0x803, [CARDS, SIZE, SIZE], images)
write("cards-labels.idx.gz", 0x801, [CARDS], labels)
