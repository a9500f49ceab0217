"""What one run leaves for the next: section 4 of the notebook, executed more than once."""

import contextlib
import re

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer

from conftest import executed, runner
from notebook import CODE

(FETCH,) = [number for number, cell in enumerate(CODE) if "= fetch_embeddings(" in cell.source]
(STORE,) = [number for number, cell in enumerate(CODE) if "embed(new[" in cell.source]


def hashing(dimension=64):
    """A model that learns nothing from the texts, so what it made is kept, as that of BGE-M3 is."""
    vectorizer = HashingVectorizer(n_features=dimension)
    return lambda texts: np.float32(vectorizer.transform(list(texts)).toarray())


def store(run, csv, embed, model="ours", **settings):
    """Execute the cells that read and store, with this model; `embedded` has its texts."""
    settings = {"NEWS_CSV": csv} | settings
    found = run(until="embed", **settings)
    found.model, found.embedded, found.numbers = model, [], embed(["how many numbers?"])[0]

    def listed(texts):
        found.embedded += list(texts)
        return embed(texts)

    found.embed = listed
    return go_on(run, found, **settings)


def go_on(run, found, **settings):
    """Execute the cells after the model's, as far as the embeddings."""
    found.made_by |= {"first": found.made_by["embed"] + 1, "last": FETCH}
    return run.again(found, "first", "last", **settings)


def newly_embedded(found):
    """Return how many headlines were embedded to be stored, or to see whether the model changed."""
    return len(set(found.embedded) & set(found.news["text"]))


def stored_texts(found, collection=None):
    """Return {text: story} of what is in Milvus."""
    rows = found.client.query(
        collection or found.collection,
        filter="id >= 0",
        limit=10_000,
        output_fields=["text", "cluster"],
    )
    return {row["text"]: row["cluster"] for row in rows}


def stored_right(found):
    """Milvus has the headlines of the CSV, no story noted yet, and their embeddings."""
    again = found.embed(found.news["text"])
    return stored_texts(found) == dict.fromkeys(found.news["text"], -1) and np.allclose(
        found.embeddings, again, atol=1e-3
    )


def test_the_stories_are_noted_in_milvus(sample_run):
    assert stored_texts(sample_run) == dict(
        zip(sample_run.news["text"], sample_run.news["cluster"], strict=True)
    )


KILLED_IN_THE_SECOND_STEP = """
steps, alive = [], embed
def embed(texts):
    steps.append(texts)
    return alive(texts) if len(steps) < 2 else os.kill(os.getpid(), 9)"""


def test_a_run_that_was_killed_while_embedding_goes_on_and_shows_one_bar(
    run, checkpoint, sample, tmp_path, capfd
):
    sample[["title"]][:300].to_csv(tmp_path / "a.csv", index=False)
    settings = {"NEWS_CSV": "a.csv", "EMBEDDING_MODEL": checkpoint}
    sources = [cell.source for cell in CODE if not cell.source.startswith("%")]
    start = sources.index(CODE[STORE].source)
    killed = executed(
        tmp_path, [*sources[:start], KILLED_IN_THE_SECOND_STEP, sources[start]], **settings
    )
    assert killed.status != 0 and "Kernel died" in killed.said
    found = run(until="embed", **settings)
    embed, found.embedded = found.embed, []
    found.embed = lambda texts: (found.embedded.extend(texts), embed(texts))[1]
    capfd.readouterr()
    go_on(run, found, **settings)
    assert newly_embedded(found) == 44 + 1  # the first 256 are kept; one, to try the model
    assert len(re.findall(r"\r *0%\|", found.said)) == 1 and "".join(capfd.readouterr()) == ""
    assert "44/44 [" in found.said
    assert stored_texts(found) == dict.fromkeys(found.news["text"], -1)
    again = embed(found.news["text"][::20])  # of both runs, in other batches
    assert found.embeddings.shape == (300, 1024)
    assert np.linalg.norm(again - found.embeddings[::20], axis=1).max() < 0.05


@pytest.mark.parametrize("where", ["lite", "server"])
def test_when_the_csv_changes_only_what_is_new_is_embedded(run, request, sample, tmp_path, where):
    settings = request.getfixturevalue("server") if where == "server" else {}
    changed = sample[3:300].copy()
    changed.loc[5, "title"] = "A title that nobody has seen before"
    for table, new in (sample[:300], 300), (changed, 1):
        table.to_csv(tmp_path / "a.csv", index=False)
        found = store(run, tmp_path / "a.csv", hashing(), **settings)
        assert new <= newly_embedded(found) <= new + 1 and stored_right(found)


def test_when_other_columns_are_read_nothing_that_is_stored_is_lost(run, sample, tmp_path):
    """And where they are read as before, nothing is embedded again."""
    sample[:60].assign(Body=[f"Body of {row}" for row in range(60)]).to_csv(
        tmp_path / "a.csv", index=False
    )
    first = store(run, tmp_path / "a.csv", hashing())
    other = store(run, tmp_path / "a.csv", hashing(), DESCRIPTION_COLUMN="Body")
    third = store(run, tmp_path / "a.csv", hashing(), TITLE_COLUMN="description")
    assert len({first.collection, other.collection, third.collection}) == 3
    assert all(map(stored_right, (first, other, third)))
    assert all(newly_embedded(found) == len(found.news) for found in (first, other, third))
    again = store(run, tmp_path / "a.csv", hashing())
    assert newly_embedded(again) <= 1 and again.collection == first.collection


def test_two_projects_with_the_same_relative_path_keep_their_rows(sample, tmp_path):
    """In two folders, at one Milvus; and other collections in it are left alone."""
    found = []
    with contextlib.ExitStack() as stack:
        for name, rows in ("one", sample[:40]), ("two", sample[30:80]):
            (tmp_path / name / "data").mkdir(parents=True)
            rows.to_csv(tmp_path / name / "data" / "news.csv", index=False)
            run = stack.enter_context(runner(tmp_path / name))
            found.append(store(run, "data/news.csv", hashing(), MILVUS_ADDRESS=tmp_path / "m.db"))
            if name == "one":
                found[0].client.create_collection("foreign", dimension=4)
        names = {found[0].collection, found[1].collection, "foreign"}
        assert set(found[0].client.list_collections()) == names and len(names) == 3
        assert [len(stored_texts(each)) for each in found] == [40, 50]
        assert all(map(stored_right, found))
        again = store(run, "data/news.csv", hashing(), MILVUS_ADDRESS=tmp_path / "m.db")
        assert newly_embedded(again) <= 1 and stored_right(again)


def test_where_the_model_was_changed_in_place_nothing_is_lost(run, sample, tmp_path):
    sample[:30].to_csv(tmp_path / "a.csv", index=False)
    first = store(run, tmp_path / "a.csv", hashing())
    sample[10:50].to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match="MILVUS_COLLECTION"):
        store(run, tmp_path / "a.csv", lambda texts: -hashing()(texts))
    assert stored_right(first)
    second = store(
        run, tmp_path / "a.csv", lambda texts: -hashing()(texts), MILVUS_COLLECTION="anew"
    )
    assert second.collection.startswith("anew_") and stored_right(second) and stored_right(first)


def test_where_the_model_gives_no_numbers_the_batches_before_are_stored(run, sample, tmp_path):
    sample[:300].to_csv(tmp_path / "a.csv", index=False)
    bad = []

    def embed(texts):
        vectors = hashing()(texts)
        if len(vectors) > 20 and bad != ["mended"]:
            bad.append(list(texts)[20])
            vectors[20] = np.nan if len(bad) == 2 else vectors[20]
        return vectors

    with pytest.raises(ValueError) as error:
        store(run, tmp_path / "a.csv", embed)
    assert repr(bad[1].split("\n")[0][:100]) in str(error.value) and len(bad) == 2
    bad[:] = ["mended"]
    found = store(run, tmp_path / "a.csv", embed)
    assert 44 <= newly_embedded(found) <= 45 and stored_right(found)


def test_lsa_starts_its_collection_over(run, sample, tmp_path):
    """It learns from all headlines, and of fewer it makes fewer numbers."""
    for rows in 100, 40:
        sample[:rows].to_csv(tmp_path / "a.csv", index=False)
        found = run(until="embeddings", NEWS_CSV=tmp_path / "a.csv")
        assert len(stored_texts(found)) == rows and stored_right(found)
