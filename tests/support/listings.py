"""Trees of images and what is listed of them."""

from tfds_rvf10k.sources.listing import list_images
from tfds_rvf10k.sources.source import Source
from tfds_rvf10k.sources.source_images import Layout


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


SPLIT = ("train/real/1.jpg", "train/fake/2.jpg", "valid/real/3.jpg", "valid/fake/4.jpg")


def listed(root, layout=None):
    return list_images(Source(str(root)), layout or Layout())
