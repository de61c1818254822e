from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kdepth.geometry import pose

angles = arrays(np.float64, (3,), elements=st.floats(-10, 10))
# Angles which name a rotation once: |rx|, |rz| < pi, |ry| < pi / 2, and a vector shorter than pi.
unique_angles = arrays(np.float64, (3,), elements=st.floats(-1.5, 1.5))
motions = st.builds(
    lambda translation, rotation: np.concatenate([translation, rotation]),
    arrays(np.float64, (3,), elements=st.floats(-100, 100)),
    unique_angles,
)
PARAMETRISATIONS = {
    "euler_xyz": pose.euler_xyz,
    "axis_angle": pose.axis_angle,
    "quaternion": lambda v: pose.quaternion(np.concatenate([v, [2.0]])),
}


def rotation_about(axis: int, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


@pytest.mark.parametrize("name", PARAMETRISATIONS)
@given(angles)
def test_rotations_are_orthonormal(name, vector):
    matrix = PARAMETRISATIONS[name](vector)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


@given(angles)
def test_euler_is_rx_ry_rz(vector):
    rx, ry, rz = (rotation_about(axis, angle) for axis, angle in enumerate(vector))
    np.testing.assert_allclose(pose.euler_xyz(vector), rx @ ry @ rz, atol=1e-12)


def test_a_turn_about_x_takes_y_to_z():
    matrix = pose.euler_xyz(np.array([np.pi / 2, 0.0, 0.0]))
    np.testing.assert_allclose(matrix @ [0, 1, 0], [0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(matrix @ [1, 0, 0], [1, 0, 0])


def test_clipped_angles():
    clipped = pose.euler_xyz(np.array([4.0, -5.0, 1.0]), clip=True)
    np.testing.assert_array_equal(clipped, pose.euler_xyz(np.array([np.pi, -np.pi, 1.0])))


@given(st.integers(0, 2), st.floats(-3.1, 3.1))
def test_all_parametrisations_agree_about_an_axis(axis, angle):
    vector = angle * np.eye(3)[axis]
    expected = rotation_about(axis, angle)
    q = np.append(np.sin(angle / 2) * np.eye(3)[axis], np.cos(angle / 2))
    for matrix in (pose.euler_xyz(vector), pose.axis_angle(vector), pose.quaternion(-3.0 * q)):
        np.testing.assert_allclose(matrix, expected, atol=1e-12)


@pytest.mark.parametrize("rotation", pose.ROTATIONS)
@given(motions)
def test_vectors_come_back(rotation, vector):
    matrix = pose.from_vector(vector, rotation)
    np.testing.assert_allclose(pose.to_vector(matrix, rotation), vector, atol=1e-7)


@given(arrays(np.float64, (3,), elements=st.floats(-1, 1)), st.floats(0.0, np.pi - 1e-6))
def test_axis_angle_comes_back_up_to_half_a_turn(axis, angle):
    length = np.linalg.norm(axis)
    vector = axis / length * angle if length > 1e-3 else np.array([angle, 0.0, 0.0])
    np.testing.assert_allclose(pose.to_axis_angle(pose.axis_angle(vector)), vector, atol=1e-6)


@given(arrays(np.float64, (4,), elements=st.floats(-1, 1)))
def test_quaternions_come_back(q):
    length = np.linalg.norm(q)
    if length < 1e-3:
        q, length = np.array([0.0, 0.0, 0.0, 1.0]), 1.0
    found = pose.to_quaternion(pose.quaternion(q))
    assert found[3] >= 0.0
    # q and -q are one rotation.
    assert abs(found @ (q / length)) == pytest.approx(1.0, abs=1e-9)


@given(motions, motions)
def test_inverse_and_composition(first, second):
    T_b_a, T_c_b = pose.from_vector(first), pose.from_vector(second)
    point = np.array([1.0, -2.0, 3.0, 1.0])
    T_c_a = pose.compose(T_c_b, T_b_a)
    np.testing.assert_allclose(T_c_a @ point, T_c_b @ (T_b_a @ point), atol=1e-9)
    np.testing.assert_allclose(pose.compose(pose.invert(T_c_a), T_c_a), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(pose.invert(T_c_a), np.linalg.inv(T_c_a), atol=1e-9)


def test_golden_matrix_of_the_released_sfmlearner(golden):
    data = np.load(golden / "sfmlearner_losses.npz", allow_pickle=False)
    matrix = pose.from_vector(data["poses"][:, 0], clip=True)
    np.testing.assert_allclose(matrix, data["pose_matrix_source0"], atol=1e-6)


@pytest.mark.parametrize("rotation", pose.ROTATIONS)
@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 3, 6)])
def test_tensors_and_arrays_agree(rotation, shape):
    vector = np.random.default_rng(1).uniform(-0.7, 0.7, shape).astype(np.float32)
    matrix = pose.from_vector(vector, rotation)
    assert matrix.shape == (*shape[:-1], 4, 4)
    assert matrix.dtype == pose.to_vector(matrix, rotation).dtype == np.float32
    assert pose.invert(matrix).dtype == np.float32

    @tf.function(autograph=False)
    def traced(vector):
        matrix = pose.from_vector(vector, rotation)
        return matrix, pose.to_vector(matrix, rotation), pose.invert(matrix)

    results = traced(tf.constant(vector))
    for result, expected in zip(results, (matrix, vector, pose.invert(matrix))):
        np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("rotation", pose.ROTATIONS)
def test_gradients_at_rest_are_exact(rotation):
    """Networks start near zero, where a naive Rodrigues formula divides by zero."""
    vector = tf.zeros((2, 6))
    with tf.GradientTape() as tape:
        tape.watch(vector)
        matrix = pose.from_vector(vector, rotation)
    jacobian = tape.batch_jacobian(matrix, vector)
    expected = np.zeros((4, 4, 6), np.float32)
    for i in range(3):
        expected[i, 3, i] = 1.0
        j, k = (i + 1) % 3, (i + 2) % 3
        expected[k, j, 3 + i], expected[j, k, 3 + i] = 1.0, -1.0
    np.testing.assert_allclose(jacobian, np.stack([expected] * 2), atol=1e-7)
    with tf.GradientTape() as tape:
        tape.watch(vector)
        back = pose.to_vector(pose.from_vector(vector, rotation), rotation)
    np.testing.assert_allclose(tape.batch_jacobian(back, vector), np.stack([np.eye(6)] * 2))


@given(arrays(np.float64, (3,), elements=st.floats(-1e-3, 1e-3)))
def test_small_rotations_are_their_series(vector):
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    series = np.eye(3) + cross + cross @ cross / 2 + cross @ cross @ cross / 6
    np.testing.assert_allclose(pose.axis_angle(vector), series, atol=1e-13)


def test_an_unknown_parametrisation_is_named():
    with pytest.raises(ValueError, match="`rotation` must be one of euler_xyz, axis_angle"):
        pose.from_vector(np.zeros(6), "euler_zyx")


@pytest.mark.parametrize("target", [0, 1, 2])
def test_motions_from_one_frame_become_motions_between_neighbours(target):
    rng = np.random.default_rng(0)
    places = pose.from_vector(rng.normal(0, 0.3, (3, 6)))  # world -> camera of three frames
    others = [k for k in range(3) if k != target]
    vectors = np.stack([pose.to_vector(places[k] @ pose.invert(places[target])) for k in others])
    wanted = np.stack([places[k + 1] @ pose.invert(places[k]) for k in range(2)])
    np.testing.assert_allclose(pose.consecutive(vectors, target), wanted, atol=1e-12)
