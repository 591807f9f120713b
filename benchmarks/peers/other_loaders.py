"""Loaders of DALI, FFCV, Grain and torch.

Each function imports its tool when it is called, so that a tool that is not installed affects its
own row only.
"""

import itertools
from pathlib import Path

import numpy as np
from loaders import BATCH_SIZE, SEED, SIZE, Build, Epoch, Material, Write, cores


def dali(material: Material) -> Build:
    """https://docs.nvidia.com/deeplearning/dali/user-guide/docs/examples/use_cases/pytorch/resnet50/pytorch-resnet50.html

    That example's reader and iterator, its `--dali_cpu` way: libjpeg-turbo, then `fn.resize` with
    its default, antialiased linear interpolation. `random_shuffle` draws from a buffer of 1,024
    files by default. The iterator copies each batch to torch tensors.
    """
    from nvidia.dali import fn, pipeline_def, types
    from nvidia.dali.plugin.pytorch import DALIClassificationIterator, LastBatchPolicy

    @pipeline_def(batch_size=BATCH_SIZE, num_threads=cores(), device_id=None, seed=SEED)
    def pipeline():
        files, labels = fn.readers.file(
            file_root=material.train, random_shuffle=True, pad_last_batch=True, name="Reader"
        )
        images = fn.decoders.image(files, device="cpu", output_type=types.RGB)
        return fn.resize(images, resize_x=SIZE, resize_y=SIZE), labels

    def build() -> Epoch:
        # PARTIAL with a padded reader: each image once, the last batch short.
        batches = DALIClassificationIterator(
            pipeline(),
            reader_name="Reader",
            last_batch_policy=LastBatchPolicy.PARTIAL,
            auto_reset=True,
        )
        return lambda _: ((batch[0]["data"], batch[0]["label"]) for batch in batches)

    return build


def write_beton_jpeg(material: Material) -> Write:
    """Encodes every image again, at quality 90 (the default); source size is kept."""
    return _write_beton(material, "jpg", max_resolution=None)


def write_beton_raw(material: Material) -> Write:
    """Stores pixels at the size that training asks for, so that loading is a copy."""
    return _write_beton(material, "raw", max_resolution=SIZE)


def _write_beton(material: Material, mode: str, max_resolution: int | None) -> Write:
    """https://docs.ffcv.io/writing_datasets.html and https://docs.ffcv.io/working_with_images.html"""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter
    from torchvision.datasets import ImageFolder

    def write() -> None:
        image = RGBImageField(write_mode=mode, max_resolution=max_resolution)
        path = str(Path(material.beton_dir, f"{mode}.beton"))
        writer = DatasetWriter(path, {"image": image, "label": IntField()}, num_workers=cores())
        writer.from_indexed_dataset(ImageFolder(material.train))

    return write


def ffcv_jpeg(material: Material) -> Build:
    """https://docs.ffcv.io/working_with_images.html: decodes in every epoch.

    The centre crop of the whole image (ratio 1) is the decoder that resizes without chance; it
    would cut an image that is not square.
    """
    from ffcv.fields.rgb_image import CenterCropRGBImageDecoder

    return _ffcv(material, "jpg", lambda: CenterCropRGBImageDecoder((SIZE, SIZE), ratio=1))


def ffcv_raw(material: Material) -> Build:
    """https://docs.ffcv.io/working_with_images.html: copies in every epoch."""
    from ffcv.fields.rgb_image import SimpleRGBImageDecoder

    return _ffcv(material, "raw", SimpleRGBImageDecoder)


def _ffcv(material: Material, mode: str, decoder) -> Build:
    """https://docs.ffcv.io/parameter_tuning.html, "Small dataset": os_cache, random order."""
    from ffcv.fields.basics import IntDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import Squeeze, ToTensor

    def build() -> Epoch:
        loader = Loader(
            str(Path(material.beton_dir, f"{mode}.beton")),
            batch_size=BATCH_SIZE,
            num_workers=cores(),
            os_cache=True,
            order=OrderOption.RANDOM,
            seed=SEED,
            drop_last=False,
            pipelines={
                "image": [decoder(), ToTensor()],
                "label": [IntDecoder(), ToTensor(), Squeeze()],
            },
        )
        return lambda _: loader

    return build


def grain(material: Material) -> Build:
    """https://google-grain.readthedocs.io/en/latest/tutorials/dataset_basic_tutorial.html

    Batches come before `repeat`, so that no batch spans two epochs and the worker processes live
    as long as the pipeline; `shuffle` draws a new order for every repetition.
    """
    import grain
    from PIL import Image

    def decode(example: tuple[str, int]) -> tuple[np.ndarray, int]:
        path, label = example
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        return np.asarray(resized), label

    def build() -> Epoch:
        source = list(zip(*material.files()))
        dataset = grain.MapDataset.source(source).seed(SEED).shuffle().map(decode)
        dataset = dataset.batch(BATCH_SIZE)
        steps = len(dataset)
        # The defaults, 16 threads and 500 elements per process, are for records of 10 kB on
        # remote disks (ReadOptions' own comment); an element here is a batch of 4.8 MB.
        reading = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
        workers = grain.MultiprocessingOptions(num_workers=cores(), per_worker_buffer_size=2)
        batches = iter(dataset.repeat().to_iter_dataset(reading).mp_prefetch(workers))
        return lambda _: itertools.islice(batches, steps)

    return build


def torch(material: Material) -> Build:
    """https://docs.pytorch.org/vision/stable/transforms.html, "Performance considerations".

    Its typical pipeline up to the conversion to float, under a DataLoader whose workers persist;
    images arrive channels first, as torch's models take them.
    """
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    def build() -> Epoch:
        transform = v2.Compose(
            [
                v2.ToImage(),
                v2.ToDtype(torch.uint8, scale=True),
                v2.Resize((SIZE, SIZE), antialias=True),
            ]
        )
        loader = DataLoader(
            ImageFolder(material.train, transform),
            batch_size=BATCH_SIZE,
            shuffle=True,
            num_workers=cores(),
            persistent_workers=True,
            generator=torch.Generator().manual_seed(SEED),
        )
        return lambda _: loader

    return build
