import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from t2v_core.errors import InputError
from t2v_core.task.images import open_image, prepare, thumbnail
from t2v_core.task.record import InputSpec
from tests.task.pictures import encode, is_one_sentence, picture, png_header

ORANGE, TEAL, WHITE = (230, 120, 40), (20, 130, 140), (255, 255, 255)


def halves(mode="RGB", left=ORANGE, right=TEAL, size=(40, 20)):
    """Left half in one colour, right half in another."""
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image.convert(mode)


def colours(image):
    """The colours amid the left and the right half."""
    assert image.mode == "RGB"
    y = image.height // 2
    return image.getpixel((image.width // 4, y)), image.getpixel((3 * image.width // 4, y))


def assert_colours(data, left, right, tolerance=6):
    np.testing.assert_allclose(colours(open_image(data)), (left, right), atol=tolerance)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_keeps_its_colours(file_format):
    assert_colours(encode(halves(), file_format), ORANGE, TEAL)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_modes_without_three_channels(mode, file_format):
    black_left = halves(mode, left=(0, 0, 0), right=WHITE)
    assert_colours(encode(black_left, file_format), (0, 0, 0), WHITE)


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk(file_format):
    assert_colours(encode(halves("CMYK"), file_format), ORANGE, TEAL)


@pytest.mark.parametrize(("mode", "file_format"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF")])
def test_transparency_shows_white(mode, file_format):
    image = halves("RGB", left=(90, 90, 90), right=(0, 0, 0)).convert(mode)
    image.putalpha(halves("L", left=WHITE, right=(0, 0, 0)))
    assert_colours(encode(image, file_format), (90, 90, 90), WHITE)


def test_half_transparency_is_half_white():
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert_colours(encode(image), (127,) * 3, (127,) * 3)


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_palette_with_transparent_colour(file_format):
    image = Image.new("P", (40, 20), 1)
    image.putpalette([0, 0, 0, *ORANGE])
    image.paste(0, (20, 0, 40, 20))
    assert_colours(encode(image, file_format, transparency=0), ORANGE, WHITE)


def test_premultiplied_grey_tiff():
    extra_samples = "<HHLH"  # tag 338, a short, one of them; 2 is plain alpha, 1 premultiplied
    data = encode(Image.new("LA", (40, 20), (45, 128)), "TIFF")
    data = data.replace(struct.pack(extra_samples, 338, 3, 1, 2), struct.pack(extra_samples, 338, 3, 1, 1))
    assert Image.open(io.BytesIO(data)).mode == "La"
    assert_colours(data, (172,) * 3, (172,) * 3, tolerance=1)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(file_format):
    grey = np.full((20, 40), 257 * 60, np.uint16)
    grey[:, 20:] = 257 * 200
    assert_colours(encode(Image.fromarray(grey), file_format), (60,) * 3, (200,) * 3, tolerance=0)


def test_thirty_two_bit_integers_count_as_sixteen():
    grey = np.full((20, 40), 257 * 60, np.int32)
    grey[:, 20:] = 1_000_000
    assert_colours(encode(Image.fromarray(grey), "TIFF"), (60,) * 3, WHITE, tolerance=0)


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_images_take_the_smallest_range_that_holds_them(top):
    grey = np.full((20, 40), top, np.float32)
    grey[:, 20:] = top / 5
    assert_colours(encode(Image.fromarray(grey), "TIFF"), WHITE, (51,) * 3, tolerance=1)


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "WEBP", "PNG"])
def test_only_the_first_frame_or_page_counts(file_format):
    first, second = Image.new("RGB", (40, 20), ORANGE), Image.new("RGB", (40, 20), TEAL)
    assert_colours(encode(first, file_format, save_all=True, append_images=[second]), ORANGE, ORANGE)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_rotation_is_applied_once(file_format):
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = halves().transpose(Image.Transpose.ROTATE_90)
    upright = open_image(encode(sideways, file_format, exif=exif))
    assert upright.size == (40, 20)
    np.testing.assert_allclose(colours(upright), (ORANGE, TEAL), atol=6)


def test_damaged_exif_leaves_the_image_readable():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_colours(encode(halves(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"), ORANGE, TEAL)


def test_large_jpeg_is_decoded_small_but_never_below_twice_the_hint():
    data = encode(halves(size=(1000, 640)), "JPEG")
    assert open_image(data).size == (1000, 640)
    assert open_image(data, 40).size == (125, 80)
    assert min(open_image(data, 41).size) >= 82


def gif_with_huge_frame():
    """A small GIF whose first frame claims to be 60,000 pixels wide and high."""
    data = bytearray(encode(Image.new("P", (9, 9)), "GIF"))
    struct.pack_into("<HH", data, data.index(b"\x2c\0\0\0\0\x09\0\x09\0") + 5, 60_000, 60_000)
    return bytes(data)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"just some text, renamed", "is not a JPEG, PNG, WebP, BMP, GIF or TIFF image"),
        (b"", "is empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a JPEG"),
        (png_header(50_000, 50_000), "is 50000x50000 pixels, more than the 100 million allowed"),
        (gif_with_huge_frame(), "has more than the 100 million pixels allowed"),
        (png_header(10_001, 10_000), "is 10001x10000 pixels"),
        (picture(size=(200, 200), file_format="JPEG")[:9000], "is a JPEG file that is damaged or cut short"),
        (picture(size=(200, 200))[:9000], "is a PNG file that is damaged or cut short"),
        (picture(size=(200, 200), file_format="WEBP")[:3000], "damaged"),
        (picture(size=(200, 200), file_format="TIFF")[:9000], "damaged"),
        (picture(size=(200, 200), file_format="BMP")[:9000], "damaged"),
        (png_header(64, 64), "damaged"),
    ],
    ids=["text", "empty", "eps", "huge", "huge-frame", "too-large", "jpeg", "png", "webp", "tiff", "bmp", "no-pixels"],
)
def test_bad_files_are_refused_with_a_reason(data, reason):
    with pytest.raises(InputError, match=reason) as caught:
        open_image(data)
    assert is_one_sentence(f"'x.jpg' {caught.value}")


def test_every_truncation_is_an_input_error_or_an_image():
    data = picture(size=(30, 30), file_format="JPEG")
    outcomes = set()
    for length in range(0, len(data), 7):
        try:
            outcomes.add(open_image(data[:length]).size)
        except InputError:
            outcomes.add("refused")
    assert "refused" in outcomes and outcomes <= {"refused", (30, 30)}


def obvious_prepare(image, resize, crop, method):
    """torchvision's Resize and CenterCrop, step by step."""
    short, long = sorted(image.size)
    new_long = int(resize * long / short)
    size = (resize, new_long) if image.width <= image.height else (new_long, resize)
    resized = np.asarray(image.resize(size, method))
    if crop > resize:
        down, across = (max(crop - n, 0) for n in resized.shape[:2])
        pads = ((down // 2, (down + 1) // 2), (across // 2, (across + 1) // 2), (0, 0))
        resized = np.pad(resized, pads)
    top, left = (round((n - crop) / 2) for n in resized.shape[:2])
    return resized[top : top + crop, left : left + crop]


@pytest.mark.parametrize("size", [(97, 61), (61, 97), (50, 50), (20, 333), (9, 7)])
@pytest.mark.parametrize(("resize", "crop"), [(32, 28), (33, 28), (32, 32), (24, 31)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_prepare_equals_resize_then_crop(size, resize, crop, interpolation):
    image = open_image(picture(3, size))
    spec = InputSpec(resize, crop, (0, 0, 0), (1, 1, 1), interpolation)
    expected = obvious_prepare(image, resize, crop, Image.Resampling[interpolation.upper()])
    pixels = prepare(image, spec)
    assert pixels.dtype == np.uint8 and pixels.shape == (crop, crop, 3)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("size", [(97, 61), (50, 50), (9, 70)])
def test_a_squashed_image_is_seen_whole(size):
    image = open_image(picture(3, size))
    spec = InputSpec(32, 28, (0, 0, 0), (1, 1, 1), "bicubic", squash=True)
    whole = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(prepare(image, spec), whole[2:30, 2:30])


def test_prepare_of_a_line_of_pixels_stays_small():
    pixels = prepare(Image.new("RGB", (2_000_000, 1), ORANGE), InputSpec(256, 224, (0, 0, 0), (1, 1, 1)))
    assert (pixels == ORANGE).all()


def test_prepare_refuses_an_unknown_interpolation():
    with pytest.raises(ValueError, match="'nearest'"):
        prepare(halves(), InputSpec(8, 8, (0, 0, 0), (1, 1, 1), "nearest"))


def test_thumbnail_is_a_small_png_and_leaves_the_image_alone():
    image = halves(size=(400, 200))
    small = Image.open(io.BytesIO(thumbnail(image, 96)))
    assert (small.format, small.size, image.size) == ("PNG", (96, 48), (400, 200))
    np.testing.assert_allclose(colours(small), (ORANGE, TEAL), atol=2)
