"""Adam as one kernel for each weight, and loss scaling where gradients are float16."""

from collections.abc import Sequence

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):
    """keras.optimizers.Adam with TensorFlow's kernel for the whole update of a weight.

    The same formula (Kingma and Ba 2015, arXiv:1412.6980, before section 2.1: epsilon-hat) and the
    same state. Keras spells it out in a dozen operations, each a pass over the weight and its
    moments on a CPU, and a kernel to launch on a GPU.

    Args:
      factors: of the learning rate, one for each variable; all 1 if not given.
    """

    def __init__(self, factors: Sequence[float] | None = None):
        super().__init__(0.0)
        self._factors = factors

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Moves one variable and its moments."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        factor = 1.0 if self._factors is None else self._factors[index]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32) * factor,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )


class AgreedLossScale(keras.optimizers.LossScaleOptimizer):
    """keras.optimizers.LossScaleOptimizer that asks all replicas whether gradients overflowed.

    Keras asks the first one alone, taking gradients to be summed already; they are summed after.
    An overflow on another one would make every weight NaN, and workers disagree about the step.
    """

    def check_finite(self, grads: list[tf.Tensor]) -> tf.Tensor:
        """Whether the gradients of every replica are numbers; bool []."""
        bad = 1.0 - tf.cast(super().check_finite(grads), tf.float32)
        return tf.distribute.get_replica_context().all_reduce("SUM", bad) == 0


def build(
    variables: list[keras.Variable], policy: str, factors: Sequence[float] | None = None
) -> keras.optimizers.Optimizer:
    """The optimizer of a phase, its state made; its learning rate is set epoch by epoch.

    Args:
      variables: what it will train.
      policy: Keras dtype policy of the base. With float16 gradients it scales losses, and skips
        steps whose gradients overflow.
      factors: see FusedAdam.
    """
    optimizer: keras.optimizers.Optimizer = FusedAdam(factors)
    if policy == "mixed_float16":
        optimizer = AgreedLossScale(optimizer)
    optimizer.build(variables)
    return optimizer
