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
