"""The same notebook on a real Milvus server, older than today's, with authorization switched on."""
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, pairwise_distances
from sklearn.preprocessing import normalize

from conftest import TOKEN, CellError, recall, run_on_vectors, text_of


@pytest.fixture(scope="session")
def server_run(new_kernel, server):
    kernel = new_kernel()
    kernel.run(MILVUS_ADDRESS=server, MILVUS_TOKEN=TOKEN)
    return kernel


def test_same_neighbours_distances_and_stories_as_lite(server_run, sample_run):
    assert server_run.value("row_count") == 501
    assert np.allclose(server_run.value("distances"), sample_run.value("distances"), atol=1e-4)
    for ours, lite, distance in zip(*(run.value(name) for name, run in (
            ("neighbours", server_run), ("neighbours", sample_run), ("distances", sample_run)))):
        clear = distance < distance[-1] - 1e-4  # the last ones may tie with what is beyond the table
        assert set(ours) >= set(lite[clear])
    assert adjusted_rand_score(server_run.value("labels"), sample_run.value("labels")) >= 0.995


def test_labels_are_written_back(server_run):
    stored = server_run.value("{row['id']: row['cluster'] for row in client.query("
                              "MILVUS_COLLECTION, filter='id >= 0', output_fields=['cluster'], limit=10_000)}")
    assert stored == server_run.value("dict(zip(ids.tolist(), labels.tolist()))")
    assert server_run.value("row_count") == 501


def test_questions_and_new_headlines(server_run):
    answers = server_run.value("ask('a port strike keeps ships waiting off Ginsholt')")
    assert "ginsholt" in answers["story"][0]
    assert set(server_run.value("ask('strike', 'cluster == 2')['story']")) == {server_run.value("titles[2]")}
    placed = server_run.value("place_headline('Hackers who robbed Kwiptix demand ransom for customers data')")
    assert "kwiptix" in server_run.value("titles")[placed]


def test_islands_are_joined_on_the_server_too(server_run):
    """The filter with a literal list of keys, which the sample itself does not need."""
    server_run.execute("few = neighbours[:, 1:4]\nlinked = join_islands("
                       "np.repeat(np.arange(row_count), 3), few.ravel(), distances[:, 1:4].ravel())")
    start, end, length = server_run.value("linked")
    assert len(start) > 3 * 501
    embeddings = server_run.value("embeddings")
    assert np.allclose(np.linalg.norm(embeddings[start] - embeddings[end], axis=1), length, atol=1e-4)


@pytest.mark.parametrize("index", ["HNSW", "AUTOINDEX"])
def test_an_approximate_index_finds_nearly_the_same(server_run, sample_run, server, index):
    said = text_of(server_run.run(until="## 6.", MILVUS_ADDRESS=server, MILVUS_TOKEN=TOKEN, INDEX_TYPE=index))
    assert "0 headlines embedded and stored" in said
    assert recall(sample_run.value("neighbours"), server_run.value("neighbours")) > 0.95


def test_an_approximate_index_holds_all_rows_before_the_search(workbench, server, tmp_path):
    """Enough rows for a real index: until it is built, a server searches a makeshift one, which misses a third."""
    vectors = normalize(np.random.default_rng(6).normal(size=(3000, 128)))
    found = run_on_vectors(workbench, tmp_path, vectors, INDEX_TYPE="HNSW", MILVUS_ADDRESS=server, MILVUS_TOKEN=TOKEN,
                           MILVUS_COLLECTION="approximate")
    exact = pairwise_distances(found["embeddings"]).argsort(axis=1)[:, :80]
    assert recall(exact, found["neighbours"]) > 0.9


def test_a_second_run_embeds_nothing(server_run, server):
    said = text_of(server_run.run(until="## 5.", MILVUS_ADDRESS=server, MILVUS_TOKEN=TOKEN))
    assert "501 headlines are stored already" in said and "0 headlines embedded and stored, 0 deleted" in said


def test_rows_leave_a_server_too(server_run, server, sample, tmp_path):
    """With an embedding that is said to be the same one, so that nothing starts over."""
    sample[7:].to_csv(tmp_path / "fewer.csv", index=False)
    keep_model = f"model = {server_run.value('model')!r}"
    said = text_of(server_run.run(until="## 5.", MILVUS_ADDRESS=server, MILVUS_TOKEN=TOKEN,
                                  NEWS_CSV=tmp_path / "fewer.csv", before={"## 4.": keep_model}))
    assert "0 headlines embedded and stored, 7 deleted: 494 in Milvus" in said


def test_long_text_is_cut_by_bytes_as_the_server_counts(server_run, server, tmp_path):
    rows = ["title"] + [f"{'é' * 40_000} {number}" for number in range(3)] + [f"short {number}" for number in range(4)]
    (tmp_path / "long.csv").write_text("\n".join(rows), encoding="utf-8")
    said = text_of(server_run.run(until="## 5.", MILVUS_ADDRESS=server, MILVUS_TOKEN=TOKEN,
                                  MILVUS_COLLECTION="long", NEWS_CSV=tmp_path / "long.csv"))
    assert "5 in Milvus" in said  # the three long ones are one when cut


@pytest.mark.parametrize("token", ["root:wrong-secret", "wrong-secret", ""])
def test_a_wrong_token_is_an_error_without_the_token(workbench, server, token):
    with pytest.raises(CellError, match="^ConnectionError: MILVUS_ADDRESS http://127.0.0.1:.* MILVUS_TOKEN") as error:
        workbench.run(until="## 5.", MILVUS_ADDRESS=server, MILVUS_TOKEN=token)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
