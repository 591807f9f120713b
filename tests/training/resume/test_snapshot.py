import keras
import numpy as np

from dftk.training.resume.snapshot import VariableSnapshot


def test_values_come_back_in_place():
    variables = [keras.Variable(np.ones(2)), keras.Variable(3.0)]
    snapshot = VariableSnapshot(variables)
    arrays = [variable.value for variable in variables]
    for variable in variables:
        variable.assign(variable * 5)
    snapshot.restore()
    assert [variable.numpy().tolist() for variable in variables] == [[1, 1], 3]
    assert all(variable.value is array for variable, array in zip(variables, arrays))


def test_given_values_are_assigned():
    variable = keras.Variable(1.0)
    VariableSnapshot([variable], [np.array(7.0)]).restore()
    assert float(variable) == 7
