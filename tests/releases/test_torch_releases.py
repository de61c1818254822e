"""SC-SfMLearner's, sc_depth_pl's and monodepth2's files through `convert`: every tensor, every scale and head.

ResNet-18 is compared with the released networks' own numbers (`golden`), ResNet-50 and what else they
do not cover with NumPy.
"""

import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import kdepth  # noqa: E402
from kdepth import releases  # noqa: E402
from kdepth.errors import UserError  # noqa: E402
from kdepth.releases.mapping import assign  # noqa: E402
from tests.networks.torch_writer import Namespace, tensor, write_legacy, write_zip  # noqa: E402
from tests.releases import drawn, reference  # noqa: E402

LEVELS = range(4, -1, -1)
# The names that the releases' code gives to the decoders' convolutions.
SC_POSE = [f"decoder.net.{i}" for i in range(4)]
PL_POSE = ["decoder.conv_squeeze", *(f"decoder.convs_pose.{i}" for i in range(3))]


def sc_block(level, number):
    return f"decoder.decoder.{2 * (4 - level) + number}.conv.conv"


def sc_head(level):
    return f"decoder.decoder.{10 + level}.conv"


def pl_block(level, number):
    return f"decoder.upconvs{number}.{4 - level}.conv.conv"


def pl_head(level):
    return f"decoder.dispconvs.{level}.conv"


def sc_state(layers, seed=0):
    """{file: state dict} of SC-SfMLearner."""
    depth = drawn.scoped("encoder.encoder.", drawn.resnet_shapes(layers))
    depth.update(drawn.decoder_shapes(layers, sc_block, sc_head))
    motion = drawn.scoped("encoder.encoder.", drawn.resnet_shapes(18, 2))
    motion.update(drawn.pose_shapes(SC_POSE))
    return {"dispnet": drawn.draw(depth, seed), "exp_pose": drawn.draw(motion, seed + 1)}


def pl_state(layers, seed=0):
    """The state dict of sc_depth_pl."""
    depth = drawn.scoped("encoder.encoder.", drawn.resnet_shapes(layers))
    depth.update(drawn.decoder_shapes(layers, pl_block, pl_head))
    motion = drawn.scoped("encoder.encoder.", drawn.resnet_shapes(18, 2))
    motion.update(drawn.pose_shapes(PL_POSE))
    both = {**drawn.scoped("depth_net.", depth), **drawn.scoped("pose_net.", motion)}
    return drawn.draw(both, seed)


def tensors(state):
    return {name: tensor(array) for name, array in state.items()}


def lightning(state, dataset):
    """A checkpoint as Lightning saves it with its weights alone."""
    settings = Namespace(
        {"dataset_name": dataset, "resnet_layers": 50, "lr": 1e-4, "ckpt_path": None}
    )
    return {
        "epoch": 99,
        "global_step": 100_000,
        "pytorch-lightning_version": "1.8.2",
        "state_dict": tensors(state),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 100}}}},
        "hparams_name": "hparams",
        "hyper_parameters": {"hparams": settings},
    }


@pytest.fixture(scope="module")
def released(golden):
    """Numbers of the released networks, and {network: state dict} of the weights behind them."""
    shapes = json.loads((golden / "net_scdepth_r18_variables.json").read_text())
    state = {
        part: {name: drawn.torch(name, tuple(shape), seed) for name, shape in shapes[part].items()}
        for part, seed in (("depth", 131), ("pose", 132))
    }
    return np.load(golden / "net_scdepth_r18.npz", allow_pickle=False), state


def difference(found, wanted):
    return np.abs(np.asarray(found) - wanted).max() / np.ptp(wanted)


def check_depth(model, data):
    maps = model.parts()["depth"](data["image"], training=False)
    for level, found in enumerate(maps):
        assert difference(found, data[f"disp{level}"]) < 1e-4, level


# -- SC-SfMLearner -----------------------------------------------------------------------------------------------------


def test_sc_sfmlearner_equals_the_release(released, tmp_path):
    data, state = released
    for name, part in (("dispnet", "depth"), ("exp_pose", "pose")):
        value = {"epoch": 200, "state_dict": tensors(state[part])}
        write_zip(tmp_path / f"{name}_model_best.pth.tar", value)
    size = {"height": 128, "image_width": 192}
    report = releases.convert("sc_sfmlearner", tmp_path, tmp_path / "run", **size)
    assert report.fresh == () and report.parameters == 14_329_236 + 12_498_950 + 2 * 9600
    model = kdepth.load_run(tmp_path / "run")
    assert model.variant == "release" and model.image_size == (128, 192)
    check_depth(model, data)
    frames = np.concatenate([data["image"], data["source"]], -1)
    assert difference(model.parts()["pose"](frames, training=False), data["pose"]) < 1e-4
    # And through what users call, which takes images in [0, 1].
    image = data["image"] * 0.225 + 0.45
    found = np.asarray(model.depth_outputs(image)["inverse_depth"])
    assert difference(found, data["disp0"]) < 1e-4


def test_a_depth_network_alone_in_the_legacy_layout(released, tmp_path):
    data, state = released
    path = tmp_path / "dispnet_model_best.pth.tar"
    write_legacy(path, {"epoch": 200, "state_dict": tensors(state["depth"])})
    size = {"height": 128, "image_width": 192}
    report = releases.convert("sc_sfmlearner_depth", path, tmp_path / "run", **size)
    assert report.fresh and all(name.startswith("pose: ") for name in report.fresh)
    check_depth(kdepth.load_run(tmp_path / "run"), data)


def test_what_does_not_fit_is_one_line_and_writes_nothing(released, tmp_path):
    path, state = tmp_path / "dispnet_model_best.pth.tar", dict(released[1]["depth"])
    size = {"height": 64, "image_width": 64}

    def refused(words):
        write_zip(path, {"epoch": 200, "state_dict": tensors(state)})
        with pytest.raises(UserError, match=words) as error:
            releases.convert("sc_sfmlearner_depth", path, tmp_path / "run", **size)
        assert "\n" not in str(error.value) and str(path) in str(error.value)
        assert not (tmp_path / "run").exists()

    head = state.pop("decoder.decoder.12.conv.bias")
    refused("lacks tensor 'dispnet/state_dict.decoder.decoder.12.conv.bias'")
    state["decoder.decoder.12.conv.bias"] = np.zeros(2, np.float32)
    refused(r"has shape \[2\]")
    state["decoder.decoder.12.conv.bias"] = head * np.nan
    refused("not finite")
    state["decoder.decoder.12.conv.bias"] = head
    state["decoder.decoder.14.conv.bias"] = head
    refused("unknown tensor 'dispnet/state_dict.decoder.decoder.14.conv.bias'")


def test_a_folder_has_to_hold_both_files(tmp_path):
    with pytest.raises(UserError, match="is no folder; --checkpoint is the one that holds dispnet"):
        releases.convert("sc_sfmlearner", tmp_path / "none", tmp_path / "run")
    write_zip(tmp_path / "dispnet_model_best.pth.tar", {"state_dict": {}})
    with pytest.raises(UserError, match="holds no exp_pose_model_best.pth.tar or exp_pose_checkp"):
        releases.convert("sc_sfmlearner", tmp_path, tmp_path / "run")


# -- monodepth2 --------------------------------------------------------------------------------------------------------


def test_monodepth2_has_the_same_network_under_its_own_names(released, tmp_path):
    """Its last layer gives 0.01 + 9.99 sigmoid; the sigmoid is the same."""
    data, state = released
    encoder, decoder = {}, {}
    for name, array in state["depth"].items():
        scope, _, rest = name.partition(".")
        (encoder if scope == "encoder" else decoder)[rest] = array
    facts = {"height": 128, "width": 192, "use_stereo": False}
    write_zip(tmp_path / "encoder.pth", {**tensors(encoder), **facts})
    write_legacy(tmp_path / "depth.pth", tensors(decoder))
    report = releases.convert("monodepth2", tmp_path, tmp_path / "run")
    assert report.fresh and all(name.startswith("pose: ") for name in report.fresh)
    model = kdepth.load_run(tmp_path / "run")
    assert model.image_size == (128, 192)
    check_depth(model, data)
    for level, found in enumerate(model.parts()["depth"](data["image"], training=False)):
        theirs = 0.01 + 9.99 * (data[f"disp{level}"] - 0.01) / 10.0
        assert np.abs(np.asarray(found) * 0.999 / theirs - 1).max() < 2e-3 * 0.01 / theirs.min()


# -- sc_depth_pl -------------------------------------------------------------------------------------------------------


def test_sc_depth_pl_with_resnet50_equals_numpy(tmp_path):
    state = pl_state(50)
    path = tmp_path / "epoch=99-val_loss=0.1411.ckpt"
    write_zip(path, lightning(state, "nyu"), root="epoch=99-val_loss=0.1411")
    size = {"height": 64, "image_width": 96}
    report = releases.convert("sc_depth_pl", path, tmp_path / "run", "nyu", **size)
    assert report.fresh == () and report.ignored["settings of its training"] == 4
    model = kdepth.load_run(tmp_path / "run")
    assert (model.variant, model.encoder) == ("lightning", "resnet50")
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(1, 64, 96, 6)).astype(np.float32)
    channels_first = frames[0].transpose(2, 0, 1).astype(np.float64)
    weights = {name: np.asarray(array, np.float64) for name, array in state.items()}

    def named(function):
        return lambda *place: f"depth_net.{function(*place)}"

    features = reference.resnet(weights, channels_first[:3], "depth_net.encoder.encoder.", 50)
    wanted = reference.depth_decoder(
        weights, features, named(pl_block), named(pl_head), reference.bilinear_up
    )
    maps = model.parts()["depth"](frames[..., :3], training=False)
    for level, (found, share) in enumerate(zip(maps, wanted)):
        assert np.ptp(share) > 0.2, level
        assert difference(np.asarray(found)[0, ..., 0], 10 * share[0] + 0.01) < 1e-4, level
    features = reference.resnet(weights, channels_first, "pose_net.encoder.encoder.", 18)
    vector = reference.pose_decoder(weights, features[-1], [f"pose_net.{n}" for n in PL_POSE])
    found = np.asarray(model.parts()["pose"](frames, training=False))[0]
    assert difference(found, vector) < 1e-4


@pytest.mark.parametrize(
    "dataset, size", [("kitti", (256, 832)), ("ddad", (384, 640)), ("bonn", (256, 320))]
)
def test_the_settings_of_a_checkpoint_give_the_size(dataset, size):
    name = "hyper_parameters.hparams.dataset_name"
    options = releases.release_of("sc_depth_pl").options({name: np.asarray(dataset)})
    assert (options["height"], options["image_width"]) == size


# -- tables ------------------------------------------------------------------------------------------------------------


def names_of(source, layers):
    """{tensor: array} of a release's files as its code saves them."""
    if source == "sc_depth_pl":
        return {f"state_dict.{name}": array for name, array in pl_state(layers).items()}
    files = sc_state(layers)
    if source == "monodepth2":
        found = {"encoder/height": np.int64(192), "encoder/width": np.int64(640)}
        for name, array in files["dispnet"].items():
            scope, _, rest = name.partition(".")
            found[f"encoder/{rest}" if scope == "encoder" else f"depth/{rest}"] = array
        return found
    found = {}
    for file in ("dispnet",) if source.endswith("depth") else files:
        found[f"{file}/epoch"] = np.int64(200)
        found.update({f"{file}/state_dict.{name}": array for name, array in files[file].items()})
    return found


@pytest.mark.parametrize(
    "source", ["sc_sfmlearner", "sc_sfmlearner_depth", "monodepth2", "sc_depth_pl"]
)
@pytest.mark.parametrize("layers", [18, 50])
def test_tables_use_every_tensor_of_both_encoders(source, layers):
    """Against state dicts as the releases' code makes them; counters and classifiers are ignored."""
    release = releases.release_of(source)
    arrays = names_of(source, layers)
    options = release.options(arrays)
    assert options["encoder"] == f"resnet{layers}"
    used = {name for row in release.rows(options) for name in row.sources}
    left = sorted(set(arrays) - used)
    assert used <= set(arrays)
    for name in left:
        assert name.endswith(
            ("num_batches_tracked", "fc.weight", "fc.bias", "epoch", "height", "width")
        )
    assert sum(name.endswith("tracked") for name in left) > 15


def test_a_network_of_another_width_is_refused():
    release = releases.release_of("sc_sfmlearner")
    model = kdepth.create("scdepth", height=64, image_width=64, width=0.05)
    with pytest.raises(UserError, match="another network or number of channels"):
        assign(model, release, names_of("sc_sfmlearner", 18), "folder")
