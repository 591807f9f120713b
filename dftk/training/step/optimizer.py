"""Adam as one kernel for each weight, and loss scaling where gradients are float16."""

import dataclasses
import types
from collections.abc import Sequence

import keras
import tensorflow as tf

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # as keras.optimizers.Adam has them


@dataclasses.dataclass(frozen=True)
class _Slot:
    """What Adam keeps of one variable, and the factor of its learning rate."""

    momentum: keras.Variable
    velocity: keras.Variable
    factor: float


class FusedAdam(keras.optimizers.Optimizer):
    """keras.optimizers.Adam with TensorFlow's kernel for the whole update of a weight.

    The formula is the same (Kingma and Ba 2015, arXiv:1412.6980, before section 2.1: epsilon-hat),
    and so are the variables and their order: states of either one fit the other. Keras computes the
    formula in a dozen operations. Each of them is a pass over the weight and its moments on a CPU,
    and a kernel to launch on a GPU.

    Args:
      factors: of the learning rate, one for each variable; all 1 if not given.
    """

    def __init__(self, factors: Sequence[float] | None = None):
        super().__init__(learning_rate=0.0)
        self._factors = factors

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes a momentum and a velocity for each variable, in their order."""
        if self.built:
            return
        super().build(variables)
        strategy, slots = tf.distribute.get_strategy(), {}
        factors = self._factors or [1.0] * len(variables)
        for variable, factor in zip(variables, factors, strict=True):
            momentum = self.add_variable_from_reference(variable, "momentum")
            velocity = self.add_variable_from_reference(variable, "velocity")
            # Keras asks for the update of each replica's own copy of the variable.
            for copy in strategy.experimental_local_results(variable.value):
                slots[id(copy)] = _Slot(momentum, velocity, factor)
        self._slots = types.MappingProxyType(slots)  # Keras would wrap a dict

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable, its momentum and its velocity, by a gradient of any float dtype."""
        slot = self._slots[id(variable)]
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=slot.momentum.value.handle,
            v=slot.velocity.value.handle,
            beta1_power=tf.pow(BETA_1, step),
            beta2_power=tf.pow(BETA_2, step),
            lr=tf.cast(learning_rate, tf.float32) * slot.factor,
            beta1=BETA_1,
            beta2=BETA_2,
            epsilon=EPSILON,
            grad=tf.cast(gradient, tf.float32),
        )


class AgreedLossScale(keras.optimizers.LossScaleOptimizer):
    """keras.optimizers.LossScaleOptimizer that asks all replicas whether gradients overflowed.

    Keras asks the first replica alone, because it takes gradients to be summed already. Here they
    are summed afterwards. An overflow on another replica would make every weight NaN, and workers
    would disagree about the step.
    """

    def check_finite(self, grads: list[tf.Tensor]) -> tf.Tensor:
        """Returns whether the gradients of every replica are finite; bool []."""
        bad = 1.0 - tf.cast(super().check_finite(grads), tf.float32)
        return tf.distribute.get_replica_context().all_reduce("SUM", bad) == 0


def build(
    variables: list[keras.Variable], policy: str, factors: Sequence[float] | None = None
) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a phase with its state made; its learning rate is still 0.

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
