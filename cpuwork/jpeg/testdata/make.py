"""Writes the pictures of this folder: python3 make.py (Pillow 13).

Each has a file of the same name and .rgb beside it: its pixels as Pillow shows
them on white, upright, 8 bits RGB; the size is 48 x 32 unless turned."""
import math
import os

from PIL import Image, ImageCms, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
W, H = 48, 32


def scene():
    m = Image.new("RGB", (W, H))
    for y in range(H):
        for x in range(W):
            m.putpixel((x, y), (int(127 + 100 * math.sin(x / 9)), 5 * x % 256, int(127 + 100 * math.cos(y / 7))))
    return m


def save(name, m, **how):
    path = os.path.join(HERE, name)
    m.save(path, **how)
    back = ImageOps.exif_transpose(Image.open(path))
    if back.mode in ("RGBA", "LA", "PA") or "transparency" in back.info:
        back = back.convert("RGBA")
        back = Image.alpha_composite(Image.new("RGBA", back.size, "white"), back)
    if back.mode.startswith("I;16"):
        back = back.point(lambda v: v / 257).convert("L")
    with open(path + ".rgb", "wb") as f:
        f.write(back.convert("RGB").tobytes())


def main():
    m = scene()
    alpha = m.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize((W, H)))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save("rgb.png", m, icc_profile=icc)
    save("rgba.png", alpha)
    save("gray.png", m.convert("L"))
    save("grayalpha.png", alpha.convert("LA"))
    save("gray16.png", Image.frombytes("I;16", (W, H), b"".join((v * 40).to_bytes(2, "little") for v in range(W * H))))
    save("palette.png", m.quantize(32))
    save("onebit.png", m.convert("1"))
    save("rgb.jpg", m, quality=95, subsampling="4:4:4", icc_profile=icc)
    save("progressive.jpg", m, quality=95, subsampling="4:4:4", progressive=True)
    save("gray.jpg", m.convert("L"), quality=95)
    save("cmyk.jpg", m.convert("CMYK"), quality=100, subsampling="4:4:4")
    save("lossy.webp", m, quality=95)
    save("lossyalpha.webp", alpha, quality=95)
    save("lossless.webp", m, lossless=True)
    save("rgb.bmp", m)
    save("rgb.tif", m, compression="tiff_lzw")
    save("gray.tif", m.convert("L"), compression="tiff_deflate")
    for o in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = o
        save(f"turned{o}.jpg", m, quality=95, subsampling="4:4:4", exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("turned6.png", m, exif=exif)
    save("turned6.webp", m, exif=exif, lossless=True)
    m.save(os.path.join(HERE, "turned6.tif"), exif=exif)
    with open(os.path.join(HERE, "turned6.tif.rgb"), "wb") as f:
        f.write(m.transpose(Image.Transpose.ROTATE_270).tobytes())


if __name__ == "__main__":
    main()
