"""Shards, written anew."""


def rewrite(shard, change):
    """Writes a shard again with `change(index, features)` applied to each record."""
    import tensorflow as tf

    records = [
        tf.train.Example.FromString(record)
        for record in tf.data.TFRecordDataset(shard.path).as_numpy_iterator()
    ]
    with tf.io.TFRecordWriter(shard.path) as writer:
        for index, example in enumerate(records):
            change(index, example.features.feature)
            writer.write(example.SerializeToString())


def cut_last_record(shard):
    """Removes the last record of a shard; returns the error that reading it gives."""
    import tensorflow as tf

    records = list(tf.data.TFRecordDataset(shard.path).as_numpy_iterator())
    with tf.io.TFRecordWriter(shard.path) as writer:
        for record in records[:-1]:
            writer.write(record)
    return f"{shard.path}: {len(records) - 1} records, its metadata says {len(records)}"
