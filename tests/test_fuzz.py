"""A short fuzz campaign over all formats; tests/fuzz/campaign.py is the long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits of a process are POSIX's")
sys.path.append(str(Path(__file__).parent / "fuzz"))

import campaign

FILES = 30  # of each format; of whole folders, which take longer, a third


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    pytest.importorskip("PIL")
    pytest.importorskip("sklearn")
    return campaign.corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("kind", campaign.READERS)
def test_whole_files_are_read(corpus, tmp_path, kind):
    for files in corpus[kind]:
        found, _, told = campaign.outcome(kind, files, tmp_path / "input")
        assert found == "read", f"{list(files)}: {found}\n{told}"


@pytest.mark.parametrize("kind", campaign.READERS)
def test_damaged_files_are_refused_or_read_correctly(corpus, tmp_path, kind):
    refused, count = 0, FILES // 3 if kind in campaign.FOLDERS else FILES
    for index in range(count):
        files = campaign.damaged(kind, 1, index, corpus[kind])
        found, _, told = campaign.outcome(kind, files, tmp_path / "input")
        assert found in ("refused", "read"), f"seed 1, {index}: {found}\n{told}"
        refused += found == "refused"
    assert refused > count / 4


def test_a_reader_that_lies_is_found_out(corpus, tmp_path, monkeypatch):
    read = campaign.read_idx
    monkeypatch.setattr(campaign, "read_idx", lambda path: read(path) + 1)
    assert campaign.outcome("idx", corpus["idx"][0], tmp_path / "input")[0] == "wrong"
    monkeypatch.setattr(campaign, "read_idx", lambda path: 1 / 0)
    assert campaign.outcome("idx", corpus["idx"][0], tmp_path / "input")[0] == "crash"


def test_a_number_is_always_the_same_file(corpus):
    assert campaign.damaged("npz", 5, 3, corpus["npz"]) == campaign.damaged("npz", 5, 3, corpus["npz"])
    assert campaign.damaged("npz", 5, 3, corpus["npz"]) != campaign.damaged("npz", 5, 4, corpus["npz"])
