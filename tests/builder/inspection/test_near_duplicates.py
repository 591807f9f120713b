"""Hashes and distances against copies whose kind is known, and the search against brute force."""

import io
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from dftk.datasets import sample
from tfds_rvf10k.inspection import near_duplicates


def reencoded(picture, quality):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cropped(picture, share):
    edge = picture.width * share / 2
    box = (edge, edge, picture.width - edge, picture.height - edge)
    return picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)


COPIES = {
    "jpeg50": lambda picture: reencoded(picture, 50),
    "small": lambda picture: picture.resize((128, 128), Image.Resampling.BILINEAR),
    "large": lambda picture: picture.resize((512, 512), Image.Resampling.BICUBIC),
    "odd size": lambda picture: picture.resize((224, 231), Image.Resampling.BILINEAR),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.9),
    "paler": lambda picture: ImageEnhance.Color(picture).enhance(0.5),
    "cropped": lambda picture: cropped(picture, 0.02),
    "mirrored": lambda picture: reencoded(ImageOps.mirror(picture), 75),
}


def hashed(pictures):
    hashes = [near_duplicates.perceptual_hash(np.asarray(picture)) for picture in pictures]
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, near_duplicates.HASH_BYTES)


@pytest.fixture(scope="module")
def portraits():
    """Drawn heads at 256 pixels."""
    drawn = [sample.draw_portrait(np.random.default_rng(seed)) for seed in range(40)]
    pixels = [np.clip(image * 255, 0, 255).astype(np.uint8) for image in drawn]
    return [Image.fromarray(image).resize((256, 256)) for image in pixels]


@pytest.fixture(scope="module")
def random_hashes():
    """Three blocks of random hashes, and what lies near some of them."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (2 * near_duplicates._BLOCK + 100, 32), np.uint8)
    hashes[-1] = hashes[0]  # first block, last block
    hashes[2500] = hashes[7] ^ np.packbits(np.arange(256) < 40)
    hashes[3000] = hashes[9] ^ np.packbits(np.arange(256) < 41)
    hashes[3001] = hashes[9] ^ np.packbits(np.arange(256) >= 128)  # the mirror image
    return hashes


@pytest.mark.parametrize("kind", COPIES)
def test_finds_the_copies_and_nothing_else(portraits, kind):
    pairs = near_duplicates.near_pairs_between(
        hashed(portraits), hashed(map(COPIES[kind], portraits))
    )
    assert pairs.tolist() == [[i, i] for i in range(len(portraits))]


def test_drawn_heads_are_not_near_one_another(portraits):
    assert not len(near_duplicates.near_pairs(hashed(portraits)))


def test_a_mirror_turns_the_second_half_of_the_bits(portraits):
    hashes = hashed(portraits)
    mirrored = hashed(map(ImageOps.mirror, portraits))
    np.testing.assert_array_equal(mirrored[:, :16], hashes[:, :16])
    np.testing.assert_array_equal(mirrored[:, 16:], ~hashes[:, 16:])
    assert not near_duplicates.distances(hashes, mirrored).any()


def test_upside_down_is_another_picture(portraits):
    flipped = hashed(map(ImageOps.flip, portraits))
    assert (near_duplicates.distances(hashed(portraits), flipped) > near_duplicates.LIMIT).all()


def test_bits_are_signs_of_the_frequencies_they_name():
    wave = np.cos(np.pi * 3 * (np.arange(64) + 0.5) / 64)  # column 3, an odd one
    for sign in (1, -1):
        pixels = (128 + sign * 100 * np.tile(wave, (64, 1))[..., None].repeat(3, 2)).round()
        bits = np.unpackbits(hashed([pixels.astype(np.uint8)]))
        index = list(zip(*near_duplicates._FREQUENCIES)).index((0, 3))
        assert index >= 128
        assert bits[index] == (sign > 0)


def test_brightness_alone_says_nothing():
    flat = [np.full((50, 70, 3), value, np.uint8) for value in (0, 1, 77, 255)]
    assert not hashed(flat).any()


def test_same_bytes_from_threads_and_from_any_memory_layout(portraits):
    arrays = [np.asarray(picture) for picture in portraits]
    with ThreadPoolExecutor(4) as pool:
        hashes = list(pool.map(near_duplicates.perceptual_hash, arrays))
    assert hashes == [near_duplicates.perceptual_hash(np.asfortranarray(array)) for array in arrays]
    assert {len(each) for each in hashes} == {near_duplicates.HASH_BYTES}


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 300, 3), (1000, 9, 3)])
def test_smallest_and_narrow_images_have_a_hash(shape):
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    assert near_duplicates.distances(*hashed(noise)[:, None]) > near_duplicates.LIMIT


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((7, 9, 3), np.uint8), "9x7 pixels .* below 8"),
        (np.zeros((9, 9), np.uint8), r"uint8 \[9, 9\]; give"),
        (np.zeros((9, 9, 4), np.uint8), r"uint8 \[9, 9, 4\]; give"),
        (np.zeros((9, 9, 3), np.float32), r"float32 \[9, 9, 3\]; give"),
    ],
)
def test_other_pixels_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        near_duplicates.perceptual_hash(pixels)


def test_pairs_within_one_set_are_those_of_brute_force(random_hashes):
    pairs = near_duplicates.near_pairs(random_hashes, 100)
    near = []
    for i, one in enumerate(random_hashes[:-1]):
        others = random_hashes[i + 1 :]
        if i % 400 < 10 or i in (0, 7, 9, 3000):  # every block, at a fraction of the time
            apart = near_duplicates.distances(np.broadcast_to(one, others.shape), others)
            near += [[i, i + 1 + j] for j in np.flatnonzero(apart <= 100)]
    tried = {i for i, _ in near}
    assert len(near) > 100
    assert [pair for pair in pairs.tolist() if pair[0] in tried] == near
    assert pairs.dtype == np.int64


def test_the_limit_is_the_largest_distance_found(random_hashes):
    copy, at_40, mirrored = [0, len(random_hashes) - 1], [7, 2500], [9, 3001]
    at_41 = [[9, 3000], [3000, 3001]]
    for limit, expected in (
        (0, [copy, mirrored]),
        (39, [copy, mirrored]),
        (40, [copy, at_40, mirrored]),
        (41, [copy, at_40, at_41[0], mirrored, at_41[1]]),
    ):
        assert near_duplicates.near_pairs(random_hashes, limit).tolist() == expected


def test_pairs_between_two_sets_are_indices_into_each(random_hashes):
    a, b = random_hashes[:20], random_hashes[20:]
    expected = [[0, len(b) - 1], [7, 2500 - 20], [9, 3001 - 20]]
    assert near_duplicates.near_pairs_between(a, b).tolist() == expected
    assert near_duplicates.near_pairs_between(b, a).tolist() == sorted(j[::-1] for j in expected)


def test_no_hashes_no_pairs(random_hashes):
    none = random_hashes[:0]
    for pairs in (
        near_duplicates.near_pairs(none),
        near_duplicates.near_pairs(random_hashes[:1]),
        near_duplicates.near_pairs_between(none, random_hashes),
        near_duplicates.near_pairs_between(random_hashes, none),
    ):
        assert pairs.shape == (0, 2)
        assert pairs.dtype == np.int64


def test_memory_does_not_grow_with_the_hashes(random_hashes):
    peaks = []
    for copies in (1, 3):
        rng = np.random.default_rng(1)
        hashes = rng.integers(0, 256, (copies * len(random_hashes), 32), np.uint8)
        tracemalloc.start()
        near_duplicates.near_pairs(hashes)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 100e6


@pytest.mark.parametrize("limit", [-1, 129])
def test_limits_out_of_range_are_refused(random_hashes, limit):
    with pytest.raises(ValueError, match=f"limit of {limit} bits; give one from 0 to 128"):
        near_duplicates.near_pairs(random_hashes, limit)


@pytest.mark.parametrize("wrong", [np.zeros((3, 8), np.uint8), np.zeros((3, 32), np.int64)])
def test_other_hashes_are_refused(random_hashes, wrong):
    with pytest.raises(ValueError, match=r"; give uint8 \[n, 32\]"):
        near_duplicates.near_pairs_between(random_hashes, wrong)
    with pytest.raises(ValueError, match=r"; give uint8 \[n, 32\]"):
        near_duplicates.distances(wrong, wrong)


def test_rvf10k_copies_are_found_and_other_faces_are_not(shared):
    folder = shared / "rvf10k" / "rvf10k" / "valid"
    pictures = [Image.open(path) for path in sorted(folder.glob("*/*.jpg"))[::4]]
    hashes = hashed(pictures)
    assert not len(near_duplicates.near_pairs(hashes))
    for kind in ("jpeg50", "odd size", "mirrored", "cropped"):
        pairs = near_duplicates.near_pairs_between(hashes, hashed(map(COPIES[kind], pictures)))
        assert pairs.tolist() == [[i, i] for i in range(len(pictures))]


def test_rvf10k_has_one_fake_face_in_train_and_in_valid(shared):
    root = shared / "rvf10k" / "rvf10k"
    names = ("train/fake/D13M8SUJXB.jpg", "valid/fake/1AUWG7MBSU.jpg")
    a, b = hashed([Image.open(root / name) for name in names])
    assert near_duplicates.distances(a[None], b[None]) == [35]
