"""Models on disk: training goes on exactly, and what is damaged is refused."""

import numpy as np
import pytest
from reformer_problem import LENGTH, N_TOKENS, model

from mongoose_nb.core import files as io
from mongoose_nb.nn import LSH, RowAdam, Step, Tables
from mongoose_nb.reformer import CopyTask, ReformerLM

SETTINGS = {
    "lsh": {"dropout": 0.1, "lr_schedule": Step(0.5), "n_hashes": [1, 2]},
    "mixed": {"attention": ["full", "lsh"], "embedding_width": 5, "positions": (4, 5), "optimizer": RowAdam(1e-3), "clip_norm": None},
    "triplet": {"attention": ["triplet", "contrast"], "thresh": 0.02},
    "sampler": {"sampler": LSH(4, tables=Tables(K=2, L=3, rehash=2))},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_training_goes_on_exactly(name, tmp_path):
    task = CopyTask(N_TOKENS, LENGTH)
    m = model(**SETTINGS[name])
    m.fit(task, epochs=2, batches=9, batch_size=4)
    m.save(tmp_path / "model")
    loaded = ReformerLM.load(tmp_path / "model")
    assert repr(loaded) == repr(m) and (loaded.step, loaded.epoch) == (18, 2)
    assert loaded.evaluate(task, batches=1) == m.evaluate(task, batches=1)
    entries = [x.fit(task, batches=13, batch_size=4)[0] for x in (m, loaded)]
    assert entries[0]["loss"] == entries[1]["loss"]
    for key, parameter in m.parameters().items():
        assert parameter.value.tobytes() == loaded.parameters()[key].value.tobytes(), key


def test_without_the_optimiser(tmp_path):
    m = model()
    m.fit(CopyTask(N_TOKENS, LENGTH), batches=2)
    m.save(tmp_path / "small", optimizer=False)
    m.save(tmp_path / "large")
    assert (tmp_path / "small").stat().st_size < 0.6 * (tmp_path / "large").stat().st_size
    prompt = np.zeros((1, 3), int)
    assert ReformerLM.load(tmp_path / "small").logits(prompt).tobytes() == m.logits(prompt).tobytes()
    m.save(tmp_path / "half", optimizer=False, half=True)
    assert {array.dtype.name for name, array in io.load(tmp_path / "half", "reformer")[1].items() if name in m.parameters()} == {"float16"}
    np.testing.assert_allclose(ReformerLM.load(tmp_path / "half").logits(prompt), m.logits(prompt), atol=1e-2)


def test_refused(tmp_path):
    path = tmp_path / "model"
    m = model()
    m.save(path)
    settings, arrays = io.load(path, "reformer")
    for change, message in (({"n_tokens": 10**6}, "describe a larger model than it holds"), ({"n_layers": 3}, "damaged"),
                            ({"ff_width": 9}, "has shape"), ({"attention": "some"}, "attention .some. is unknown")):
        io.save(path, "reformer", {**settings, "model": {**settings["model"], **change}}, arrays)
        with pytest.raises(io.FormatError, match=message):
            ReformerLM.load(path)
    io.save(path, "network", settings, arrays)
    with pytest.raises(io.FormatError, match="a 'reformer' of 'mongoose_nb' was asked for"):
        ReformerLM.load(path)
    m.lr_schedule = lambda step, total: 1.0
    with pytest.raises(TypeError, match="lr_schedule is <function .*which a file cannot hold"):
        m.save(path)
