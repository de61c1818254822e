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


NARROW = {"height": 64, "image_width": 96, "width": 0.1}


def sc_shapes(layers, width=1.0):
    """{file: shapes of its state dict} of SC-SfMLearner."""
    depth = drawn.scoped("encoder.encoder.", drawn.resnet_shapes(layers, 1, width))
    depth.update(drawn.decoder_shapes(layers, sc_block, sc_head, width))
    motion = drawn.scoped("encoder.encoder.", drawn.resnet_shapes(18, 2, width))
    motion.update(drawn.pose_shapes(SC_POSE, width))
    return {"dispnet": depth, "exp_pose": motion}


def pl_shapes(layers, width=1.0):
    """Shapes of sc_depth_pl's state dict."""
    depth = drawn.scoped("encoder.encoder.", drawn.resnet_shapes(layers, 1, width))
    depth.update(drawn.decoder_shapes(layers, pl_block, pl_head, width))
    motion = drawn.scoped("encoder.encoder.", drawn.resnet_shapes(18, 2, width))
    motion.update(drawn.pose_shapes(PL_POSE, width))
    return {**drawn.scoped("depth_net.", depth), **drawn.scoped("pose_net.", motion)}


def monodepth2_names(state):
    """{file: state dict} of monodepth2, from SC-SfMLearner's names."""
    files = {"encoder": {}, "depth": {}}
    for name, value in state.items():
        scope, _, rest = name.partition(".")
        files["encoder" if scope == "encoder" else "depth"][rest] = value
    return files


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
        "datamodule_hparams_name": "hparams",
        "datamodule_hyper_parameters": {"hparams": settings},
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


@pytest.fixture(scope="module")
def frames():
    """Two normalised images on channels, [1, 64, 96, 6]."""
    return np.random.default_rng(0).normal(size=(1, 64, 96, 6)).astype(np.float32)


def exactly(state):
    return {name: np.asarray(array, np.float64) for name, array in state.items()}


def check_depth(model, frames, shares):
    """Our four maps against the sigmoids of a release's, in NumPy."""
    maps = model.parts()["depth"](frames[..., :3], training=False)
    for level, (found, share) in enumerate(zip(maps, shares)):
        assert np.ptp(share) > 0.1, level
        assert difference(found, 10 * share + 0.01) < 1e-4, level


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
    for level, found in enumerate(model.parts()["depth"](data["image"], training=False)):
        assert difference(found, data[f"disp{level}"]) < 1e-4, level
    frames = np.concatenate([data["image"], data["source"]], -1)
    assert difference(model.parts()["pose"](frames, training=False), data["pose"]) < 1e-4
    # And through what users call, which takes images in [0, 1].
    image = data["image"] * 0.225 + 0.45
    found = np.asarray(model.depth_outputs(image)["inverse_depth"])
    assert difference(found, data["disp0"]) < 1e-4


def test_a_depth_network_alone_in_the_legacy_layout(frames, tmp_path):
    state = drawn.draw(sc_shapes(18, NARROW["width"])["dispnet"], 1)
    path = tmp_path / "dispnet_model_best.pth.tar"
    write_legacy(path, {"epoch": 200, "state_dict": tensors(state)})
    report = releases.convert("sc_sfmlearner_depth", path, tmp_path / "run", **NARROW)
    assert report.fresh and all(name.startswith("pose: ") for name in report.fresh)
    weights = exactly(state)
    features = reference.resnet(weights, frames[..., :3], "encoder.encoder.", 18)
    shares = reference.depth_decoder(weights, features, sc_block, sc_head)
    check_depth(kdepth.load_run(tmp_path / "run"), frames, shares)


def test_what_does_not_fit_is_one_line_and_writes_nothing(tmp_path):
    path = tmp_path / "dispnet_model_best.pth.tar"
    state = drawn.draw(sc_shapes(18, NARROW["width"])["dispnet"], 1)

    def refused(words):
        write_zip(path, {"epoch": 200, "state_dict": tensors(state)})
        with pytest.raises(UserError, match=words) as error:
            releases.convert("sc_sfmlearner_depth", path, tmp_path / "run", **NARROW)
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


def test_monodepth2_has_the_same_network_under_its_own_names(frames, tmp_path):
    """Its last layer gives 0.01 + 9.99 sigmoid; the sigmoid is the same."""
    state = drawn.draw(sc_shapes(18, NARROW["width"])["dispnet"], 2)
    files = monodepth2_names(state)
    facts = {"height": 64, "width": 96, "use_stereo": False}
    write_zip(tmp_path / "encoder.pth", {**tensors(files["encoder"]), **facts})
    write_legacy(tmp_path / "depth.pth", tensors(files["depth"]))
    report = releases.convert("monodepth2", tmp_path, tmp_path / "run", width=NARROW["width"])
    assert report.fresh and all(name.startswith("pose: ") for name in report.fresh)
    model = kdepth.load_run(tmp_path / "run")
    assert model.image_size == (64, 96)
    weights = exactly(state)
    features = reference.resnet(weights, frames[..., :3], "encoder.encoder.", 18)
    shares = reference.depth_decoder(weights, features, sc_block, sc_head)
    check_depth(model, frames, shares)
    for found, share in zip(model.parts()["depth"](frames[..., :3], training=False), shares):
        theirs = 0.01 + 9.99 * share  # ours is 1.001 times that, to 1e-5 of inverse depth
        ours = 0.999 * np.asarray(found)
        assert np.abs(ours - theirs).max() < 1e-5 + 1e-4 * np.ptp(theirs)


# -- sc_depth_pl -------------------------------------------------------------------------------------------------------


def test_sc_depth_pl_with_resnet50_equals_numpy(frames, tmp_path):
    state = drawn.draw(pl_shapes(50, NARROW["width"]), 3)
    path = tmp_path / "epoch=99-val_loss=0.1411.ckpt"
    write_zip(path, lightning(state, "nyu"), root="epoch=99-val_loss=0.1411")
    report = releases.convert("sc_depth_pl", path, tmp_path / "run", "nyu", **NARROW)
    assert report.fresh == () and report.ignored["settings of its training"] == 8
    model = kdepth.load_run(tmp_path / "run")
    assert (model.variant, model.encoder) == ("lightning", "resnet50")
    weights = exactly(state)

    def named(function):
        return lambda *place: f"depth_net.{function(*place)}"

    features = reference.resnet(weights, frames[..., :3], "depth_net.encoder.encoder.", 50)
    up = reference.bilinear_up2
    shares = reference.depth_decoder(weights, features, named(pl_block), named(pl_head), up)
    check_depth(model, frames, shares)
    features = reference.resnet(weights, frames, "pose_net.encoder.encoder.", 18)
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
    """{tensor: zeros} of a release's files as its code saves them."""
    if source == "sc_depth_pl":
        return drawn.zeros(drawn.scoped("state_dict.", pl_shapes(layers)))
    files = sc_shapes(layers)
    if source == "monodepth2":
        files, scopes = monodepth2_names(files["dispnet"]), ["encoder/", "depth/"]
        files["encoder"].update(height=(), width=())
    else:
        scopes = [f"{file}/state_dict." for file in files]
        scopes = scopes[:1] if source.endswith("depth") else scopes
    found = {}
    for scope, shapes in zip(scopes, files.values()):
        found.update(drawn.zeros(drawn.scoped(scope, shapes)))
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
    ends = ("num_batches_tracked", "fc.weight", "fc.bias", "height", "width")
    assert all(name.endswith(ends) for name in left)
    assert sum(name.endswith("tracked") for name in left) > 15


def test_a_network_of_another_width_is_refused():
    release = releases.release_of("sc_sfmlearner")
    model = kdepth.create("scdepth", height=64, image_width=64, width=0.05)
    with pytest.raises(UserError, match="another network or number of channels"):
        assign(model, release, names_of("sc_sfmlearner", 18), "folder")
