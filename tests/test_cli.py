"""The command line as scripts use it: JSON on standard output, exit codes, one line of error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from t2v_core import pipeline
from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.cli import _parser, main
from t2v_core.embedding.task2vec import PUBLISHED
from t2v_core.fisher.variational import GRADIENT
from t2v_core.plain_json import as_json
from tests.conftest import write_folder, zip_folder

ROOT = Path(__file__).parents[1]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def run_json(capsys, *arguments: str) -> dict:
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_embed_gives_the_vector_and_repeats(capsys, bank_path, shapes_folder):
    first = run_json(capsys, "embed", shapes_folder, "--bank", bank_path)
    assert len(first["vector"]) == first["dimension"] == 784
    assert len(set(first["filters"])) == 784
    assert first["images"] == 60
    assert 0 < first["relative_error"] < 1
    error = np.linalg.norm(first["standard_error"]) / np.linalg.norm(first["vector"])
    assert error == pytest.approx(first["relative_error"], rel=1e-4)
    again = run_json(capsys, "embed", shapes_folder, "--bank", bank_path)
    np.testing.assert_allclose(first["vector"], again["vector"], rtol=1e-5)


def test_a_tolerance_without_a_number_is_two_percent(capsys, bank_path, shapes_folder):
    found = run_json(capsys, "embed", shapes_folder, "--bank", bank_path, "--tolerance")
    assert found["settings"]["tolerance"] == 0.02


def test_embed_save_puts_the_task_into_the_bank(capsys, bank_path, shapes_folder):
    saved = run_json(capsys, "embed", shapes_folder, "--bank", bank_path, "--save", "--name", "mine")
    rows = run_json(capsys, "bank", "list", "--bank", bank_path)["rows"]
    assert {"id": saved["id"], "name": "mine", "kind": "upload", "classes": 5, "images": 60} in rows


def test_a_class_is_never_left_with_one_image(capsys, bank_path, shapes_folder):
    code, _, err = run(capsys, "recommend", shapes_folder, "--bank", bank_path, "--max-images", "9")
    assert code == 2
    assert "of 5 classes at most 9 images leave some with fewer than two; give --max-images 10 or more" in err


def test_recommend_prefers_the_expert_of_the_same_task(capsys, bank_path, tmp_path, shapes):
    """Held-out images of the shapes: no expert saw them, one was trained on their like."""
    root = write_folder(tmp_path / "fresh", shapes.take(shapes.task.held_out), 20)
    result = run_json(
        capsys, "recommend", root, "--bank", bank_path, "--fit-head", "--out", tmp_path / "out", "--selector", "domain"
    )
    assert result["ranking"][0]["task_id"] == "shapes"
    assert result["ranking"][0]["fitted"]["n"] == 100
    assert result["generic"]["how"] == "5-fold cross validation"
    assert json.loads((tmp_path / "out" / "result.json").read_text())["task"]["name"] == "fresh"
    assert (tmp_path / "out" / f"{result['ranking'][0]['expert_id']}.zip").is_file()


def test_an_expert_that_saw_the_images_is_no_candidate(capsys, bank_path, tmp_path, bank, worlds):
    from t2v_core.pipeline import training_digests
    from t2v_core.selection.candidates import unseen

    found = unseen(bank, bank.embeddings("task2vec"), training_digests(worlds["shapes"].decoded))
    assert "expert-shapes" not in found
    assert "expert-textures" in found


@pytest.mark.slow
def test_the_download_runs_by_itself(capsys, bank_path, tmp_path, shapes_folder):
    run_json(capsys, "recommend", shapes_folder, "--bank", bank_path, "--fit-head", "--out", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "out" / "generic.zip") as archive:
        archive.extractall(tmp_path / "expert")
    image = next((shapes_folder / "circle").glob("*.png"))
    found = subprocess.run(
        [sys.executable, "classify.py", str(image)],
        cwd=tmp_path / "expert",
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    _, label, probability = found.stdout.strip().split("\t")
    assert label in {"circle", "square", "triangle", "star", "cross"}
    assert 0.2 <= float(probability) <= 1


def test_distances_match_and_go_to_csv(capsys, bank_path, tmp_path):
    shown = run_json(capsys, "distances", "--bank", bank_path)
    matrix = np.array(shown["matrix"])
    np.testing.assert_allclose(matrix, matrix.T)
    assert (np.diag(matrix) == 0).all()
    run_json(capsys, "distances", "--bank", bank_path, "--out", tmp_path / "m.csv", "--metric", "asymmetric")
    assert (tmp_path / "m.csv").read_text().count("\n") == 9
    said = run(capsys, "distances", "--bank", bank_path)[1].splitlines()
    assert said[0] == "8 tasks, symmetric distance; the nearest:"
    near = float(np.sort(matrix[np.triu_indices(8, 1)])[0])
    assert said[1].startswith(f"{near:9.5f}  ") and len(said) == 12
    code, _, err = run(capsys, "distances", "--bank", bank_path, "--metric", "tangent")
    assert code == 2 and "holds no distances of this kind" in err


def test_a_task_of_ones_own_can_be_removed(capsys, bank_path, shapes_folder):
    kept = run_json(capsys, "embed", shapes_folder, "--bank", bank_path, "--save", "--name", "mine")["id"]
    assert run_json(capsys, "bank", "remove", kept, "--bank", bank_path) == {"removed": kept}
    assert kept not in {row["id"] for row in run_json(capsys, "bank", "list", "--bank", bank_path)["rows"]}


ERRORS = ROOT / "t2v_core" / "selection" / "data" / "inat_cub_errors.csv"


def test_audit_of_the_published_matrix(capsys, tmp_path):
    """Scores that are the errors themselves, with rows and columns turned round, select the optimum."""
    rows = [line.split(",") for line in ERRORS.read_text().splitlines()]
    turned = "\n".join(",".join([r[0], *r[:0:-1]]) for r in [rows[0], *rows[:0:-1]])
    (tmp_path / "scores.csv").write_text(turned)
    files = ["--errors", ERRORS, "--scores", tmp_path / "scores.csv"]
    result = run_json(capsys, "audit", *files)
    assert result["optimal"]["mean"] == pytest.approx(31.18, abs=0.005)
    assert result["chance"]["mean"] == pytest.approx(59.77, abs=0.005)
    assert result["static"]["mean"] == pytest.approx(14.5, abs=0.05)
    assert result["selected"]["mean"] == 0
    assert len(result["per_task"]) == 50
    assert result["static"]["low"] < 14.5 < result["static"]["high"]
    worst = run_json(capsys, "audit", *files, "--larger-is-better", "--denominator-offset", "1")
    assert worst["selected"]["mean"] > worst["chance"]["mean"] > 0
    assert worst["chance"]["mean"] < result["chance"]["mean"]
    assert run_json(capsys, "audit", *files, "--seed", "1")["static"]["low"] != result["static"]["low"]
    code, out, _ = run(capsys, "audit", *files)
    assert code == 0
    assert result["verdict"] in out


def test_a_seed_below_0_is_refused_in_one_sentence(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["audit", "--seed", "-1"])
    assert ended.value.code == 2
    assert "whole number from 0 up" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["recommend", ""], "'' does not exist"),
        (["recommend", "no/such/place"], "'no/such/place' does not exist"),
        (["recommend", "{folder}", "--out", "{file}"], "is a file; name a folder"),
        (["recommend", "{folder}", "--out", "{file}/below"], "nothing can be written to"),
        (["distances", "--out", "no/such/place.csv"], "nothing can be written to 'no/such/place.csv'"),
        (["distances", "--out", "{folder}"], "is a folder; name a file"),
        (["report", "--out", "{folder}"], "is a folder; name a file"),
        (["experts", "train", ""], "'' does not exist"),
    ],
)
def test_what_cannot_be_read_or_written_is_said_before_any_work(capsys, tmp_path, shapes_folder, arguments, said):
    file = tmp_path / "a file"
    file.write_text("")
    arguments = [argument.format(folder=shapes_folder, file=file) for argument in arguments]
    code, out, err = run(capsys, *arguments, "--bank", tmp_path / "new bank")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not (tmp_path / "new bank").exists()


def test_an_option_that_is_none_is_told_in_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["recommend", "folder", "--selector", "nonsense"])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "'nonsense'" in err and "asymmetric" in err and "recommend --help" in err


def test_every_file_left_out_is_named_in_words_too(capsys, shapes_folder, bank_path):
    for number in range(5):
        (shapes_folder / "star" / f"no image {number}.png").write_text("text")
    code, out, err = run(capsys, "embed", shapes_folder, "--bank", bank_path)
    assert code == 0
    assert all(f"no image {number}.png" in out for number in range(5))
    assert err.count("images/s, ") == err.count("/s, ")  # the speed is told once


def test_audit_of_a_bank(capsys, tmp_path):
    from tests.selection.metas import make_bank

    make_bank(tmp_path / "small")
    rows = run_json(capsys, "audit", "--bank", tmp_path / "small")["rows"]
    assert {r["rule"] for r in rows} >= {"chance", "generic", "static", "asymmetric", "model2vec"}
    assert {r["kind"] for r in rows} >= {"twin", "mixed", "all"}
    assert "model2vec" in run(capsys, "audit", "--bank", tmp_path / "small")[1]
    found = run_json(capsys, "audit", "--bank", tmp_path / "small", "--over", "symmetric", "chance")["rows"]
    by_rule = {r["rule"]: r for r in found if r["kind"] == "all"}
    assert "vs_static" not in by_rule["domain"]
    expected = by_rule["symmetric"]["mean"] - by_rule["domain"]["mean"]
    assert by_rule["domain"]["vs_symmetric"] == pytest.approx(expected)
    code, _, err = run(capsys, "audit", "--bank", tmp_path / "small", "--over", "nobody")
    assert code
    assert "there is no rule 'nobody'" in err


def test_a_reader_that_has_had_enough_is_no_error(tmp_path):
    """As with ``| head``: the pipe is closed before anything is written."""
    command = [sys.executable, "-m", "t2v_core", "probes", "--bank", str(tmp_path / "bank")]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_audit_refuses_half_of_the_files_and_best_errors_of_zero(capsys, tmp_path):
    code, _, err = run(capsys, "audit", "--errors", ERRORS)
    assert (code, err.count("\n")) == (2, 1)
    assert "both --errors and --scores" in err
    (tmp_path / "e.csv").write_text("t,a,b\nx,0,5\ny,1,2\n")
    code, _, err = run(capsys, "audit", "--errors", tmp_path / "e.csv", "--scores", tmp_path / "e.csv")
    assert code == 2
    assert "'x'" in err
    assert "--denominator-offset" in err


def test_export_import_and_info(capsys, bank_path, tmp_path):
    run_json(capsys, "bank", "export", tmp_path / "b.zip", "--bank", bank_path)
    taken = run_json(capsys, "bank", "import", tmp_path / "b.zip", "--bank", tmp_path / "new")
    assert taken == {"tasks": 8, "experts": 4, "errors": 32}
    assert run_json(capsys, "bank", "info", "--bank", tmp_path / "new")["tasks"] == 8


def test_probes_and_experts_are_listed(capsys, bank_path):
    assert {"bundled", "resnet34"} <= {r["id"] for r in run_json(capsys, "probes")["rows"]}
    assert len(run_json(capsys, "experts", "--bank", bank_path)["rows"]) == 4
    assert "generic" in run(capsys, "experts", "--bank", bank_path)[1]


def test_verify(capsys, bank_path):
    assert run_json(capsys, "bank", "verify", "--bank", bank_path)["verified"] is True
    with Bank(bank_path).engine.begin() as connection:
        connection.execute(update(schema.error).values(error=99.0))
    code, out, err = run(capsys, "bank", "verify", "--bank", bank_path, "--json")
    assert code == 1
    assert json.loads(out)["verified"] is False
    assert "in place of 99.00 %" in err.splitlines()[-1]


def test_every_file_left_out_is_named(capsys, bank_path, shapes_folder):
    for file in sorted((shapes_folder / "star").glob("*.png"))[:5]:
        file.write_bytes(b"text")
    (shapes_folder / "star" / "notes.txt").write_text("no image")
    found = run_json(capsys, "embed", shapes_folder, "--bank", bank_path)
    assert sorted(file["name"] for file in found["left_out"]) == [
        *(f"star/{file.name}" for file in sorted((shapes_folder / "star").glob("*.png"))[:5]),
        "star/notes.txt",
    ]
    assert any("and 2 more" in text for text in found["warnings"])
    assert any(text.startswith("1 file was left out") for text in found["warnings"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "is empty"),
        (lambda p: (p / "a").mkdir(parents=True), "is empty"),
    ],
)
def test_bad_input_is_one_line_and_code_2(capsys, bank_path, tmp_path, make, message):
    make(tmp_path / "bad")
    code, out, err = run(capsys, "recommend", tmp_path / "bad", "--bank", bank_path, "--json")
    assert code == 2
    assert out == ""
    assert err.count("\n") == err.count("error:") + err.count("loading")
    assert message in err


def test_what_is_said_before_an_action_counts():
    before = _parser().parse_args(["experts", "--bank", "team", "--seed", "7", "--json", "train", "x"])
    assert (before.bank, before.seed, before.json, before.device) == ("team", 7, True, "auto")
    after = _parser().parse_args(["experts", "--bank", "team", "train", "x", "--bank", "mine"])
    assert (after.bank, after.seed, after.json) == ("mine", 0, False)


def test_domain_gives_the_vector_asked_for(capsys, bank_path, shapes_folder):
    found = run_json(capsys, "embed", shapes_folder, "--bank", bank_path, "--method", "domain")
    assert found["method"] == "domain"
    assert found["dimension"] == len(found["vector"]) == 64
    assert found["filters"] is None


def test_the_robust_forms_are_ours_and_the_published_one(capsys, monkeypatch, bank_path, shapes_folder):
    monkeypatch.setattr(
        pipeline, "PUBLISHED", replace(PUBLISHED, variational=replace(PUBLISHED.variational, epochs=1, epoch_size=50))
    )
    found = run_json(capsys, "embed", shapes_folder, "--bank", bank_path, "--method", "published", "--seed", "3")
    assert found["method"] == "variational"
    assert found["relative_error"] is None
    assert len(found["facts"]["loss"]) == 1
    kept = found["settings"]
    assert (kept["weight_decay"], kept["seed"], kept["variational"]["beta"]) == (None, 3, 1e-7)
    assert kept["variational"]["gradient"] == GRADIENT
    assert "total_draws" not in kept


@pytest.mark.parametrize("option", [("--tolerance", "0.1"), ("--precision", "bfloat16")])
def test_the_kernel_refuses_what_it_would_ignore(capsys, bank_path, shapes_folder, option):
    code, _, err = run(capsys, "embed", shapes_folder, "--bank", bank_path, "--method", "tangent", *option)
    assert code == 2
    assert "leave out --tolerance and --precision" in err


def test_a_ranking_of_none_is_refused_before_the_work(capsys, bank_path, shapes_folder):
    code, _, err = run(capsys, "recommend", shapes_folder, "--bank", bank_path, "--top", "0")
    assert code == 2
    assert err == "error: --top must be at least 1, got 0\n"


def test_names_reach_no_terminal_as_they_are(capsys, bank_path, shapes_folder):
    (shapes_folder / "circle").rename(shapes_folder / "b\nDone.\x1b[31m")
    for file in sorted((shapes_folder / "b\nDone.\x1b[31m").iterdir())[1:]:
        file.unlink()
    code, out, err = run(capsys, "recommend", shapes_folder, "--bank", bank_path)
    assert code in (0, 2)
    assert "b\N{REPLACEMENT CHARACTER}Done.\N{REPLACEMENT CHARACTER}[31m" in out + err
    assert "\x1b" not in out + err
    assert "\nDone." not in out + err


def test_json_is_what_every_reader_takes():
    found = as_json({"a": [float("nan"), 1.5, (float("inf"), None)], "b": {"c": -0.0}})
    assert json.loads(found) == {"a": [None, 1.5, [None, None]], "b": {"c": 0}}


def test_a_folder_of_one_class_is_refused(capsys, bank_path, shapes_folder, tmp_path):
    (tmp_path / "one").mkdir()
    (shapes_folder / "circle").rename(tmp_path / "one" / "circle")
    code, _, err = run(capsys, "embed", tmp_path / "one", "--bank", bank_path)
    assert code == 2
    assert "one class 'circle'" in err


def test_an_unknown_device_is_named(capsys, bank_path, shapes_folder):
    code, _, err = run(capsys, "embed", shapes_folder, "--bank", bank_path, "--device", "abacus")
    assert code == 2
    assert "'abacus'" in err


def test_attributes_are_chosen_by_name(capsys, bank_path, tmp_path, shapes):
    from PIL import Image

    folder = tmp_path / "flat"
    folder.mkdir()
    lines = ["file,round,pointed"]
    for n in range(40):
        Image.fromarray(shapes.pixels[n * 5]).save(folder / f"{n}.png")
        lines.append(f"{n}.png,{int(n % 2)},{int(n % 3 == 0)}")
    (folder / "labels.csv").write_text("\n".join(lines))
    code, _, err = run(capsys, "embed", folder, "--bank", bank_path)
    assert code == 2
    assert "name one of them (--attribute): round, pointed" in err
    found = run_json(capsys, "embed", folder, "--bank", bank_path, "--attribute", "pointed")
    assert found["classes"] == ["not pointed", "pointed"]


def test_resnet34_from_a_local_file_embeds_photographs(capsys, tmp_path, monkeypatch, shapes_folder):
    import torch
    import torchvision
    from safetensors.torch import save_file

    monkeypatch.setenv("T2V_WEIGHTS", str(tmp_path))
    torch.manual_seed(0)
    save_file(torchvision.models.resnet34().state_dict(), tmp_path / "resnet34.safetensors")
    options = ["--probe", "resnet34", "--max-images", "10", "--bank", tmp_path / "bank"]
    assert run_json(capsys, "embed", shapes_folder, *options)["dimension"] == 8512


def test_as_a_process_from_a_zip(bank_path, shapes_folder, tmp_path):
    archive = zip_folder(shapes_folder, tmp_path / "shapes.zip")
    command = [sys.executable, "-m", "t2v_core", "recommend", archive, "--bank", bank_path, "--json"]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["task"]["name"] == "shapes"
    assert "reading images" in done.stderr
