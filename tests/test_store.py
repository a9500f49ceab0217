"""The collection survives: a killed kernel, a second run, a changed CSV, somebody else's rows."""
import pytest
from sklearn.metrics import adjusted_rand_score

from conftest import CellError, text_of

# an embedding that costs nothing, knows its texts, and kills the kernel in the middle of the third chunk
KILLER = """
chunks_seen = []
quick = embed
def embed(texts):
    if len(texts) > 1:
        chunks_seen.append(len(texts))
    if len(chunks_seen) == 3:
        os.kill(os.getpid(), 9)
    return quick(texts)
"""


def test_a_killed_kernel_loses_one_chunk_at_most(new_kernel, sample_run, tmp_path):
    address = tmp_path / "milvus.db"
    killed = new_kernel()
    with pytest.raises(Exception, match="[Kk]ernel died"):
        killed.run(MILVUS_ADDRESS=address, before={"## 4.": KILLER})
    survivor = new_kernel()
    said = text_of(survivor.run(until="## 10.", MILVUS_ADDRESS=address))
    assert "256 headlines are stored already" in said
    assert "245 headlines embedded and stored, 0 deleted: 501 in Milvus" in said
    assert adjusted_rand_score(survivor.value("labels"), sample_run.value("labels")) == 1.0


def test_a_kernel_killed_between_collection_and_index_is_no_harm(new_kernel, tmp_path):
    address = tmp_path / "milvus.db"
    killed = new_kernel()
    killed.run(until="## 5.", MILVUS_ADDRESS=address)
    killed.execute("client.drop_collection(MILVUS_COLLECTION)\ncreate_collection(dimension=embeddings.shape[1])")
    with pytest.raises(Exception, match="[Kk]ernel died"):
        killed.execute("os.kill(os.getpid(), 9)")
    survivor = new_kernel()
    said = text_of(survivor.run(until="## 5.", MILVUS_ADDRESS=address))
    assert "501 headlines embedded and stored" in said


@pytest.mark.parametrize("description", ["", "somebody's own notes"])
def test_a_foreign_collection_is_left_alone(workbench, anywhere, description):
    workbench.run(until="## 4.", **anywhere)
    workbench.execute(f"""
client = MilvusClient(MILVUS_ADDRESS, token=MILVUS_TOKEN)
schema = client.create_schema(description={description!r})
schema.add_field("id", DataType.INT64, is_primary=True)
schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=4)
client.create_collection(MILVUS_COLLECTION, schema=schema, consistency_level="Strong")
client.insert(MILVUS_COLLECTION, [dict(id=number, embedding=[number, 0, 0, 1]) for number in range(7)])""")
    with pytest.raises(CellError, match="^ValueError: The collection own.* was not made .* MILVUS_COLLECTION"):
        workbench.run(**anywhere)
    workbench.execute("load = client.prepare_index_params()\nload.add_index('embedding', index_type='FLAT', metric_type='L2')\n"
                      "client.create_index(MILVUS_COLLECTION, load)\nclient.load_collection(MILVUS_COLLECTION)")
    found = workbench.value("[row['id'] for row in client.query(MILVUS_COLLECTION, filter='id >= 0', output_fields=['id'])]")
    assert sorted(found) == list(range(7))
    another = anywhere | {"MILVUS_COLLECTION": "another_" + anywhere["MILVUS_COLLECTION"]}
    said = text_of(workbench.run(until="## 5.", **another))
    assert "501 in Milvus" in said


def test_lsa_starts_over_with_other_headlines_and_says_so(workbench, sample, milvus_file):
    workbench.run(until="## 5.", MILVUS_ADDRESS=milvus_file)
    grown = milvus_file.with_name("fewer.csv")
    sample[:400].to_csv(grown, index=False)
    said = text_of(workbench.run(until="## 5.", MILVUS_ADDRESS=milvus_file, NEWS_CSV=grown))
    assert "starting over with lsa" in said and "400 headlines embedded and stored" in said and "400 in Milvus" in said


def test_bad_input_leaves_what_is_stored(workbench, milvus_file, tmp_path):
    workbench.run(until="## 5.", MILVUS_ADDRESS=milvus_file)
    (tmp_path / "few.csv").write_text("title\none\ntwo\n")
    for settings in {"NEWS_CSV": tmp_path / "few.csv"}, {"METRIC_TYPE": "L3"}, {"EMBEDDING_MODEL": "./nothing"}:
        with pytest.raises(CellError):
            workbench.run(**{"MILVUS_ADDRESS": milvus_file} | settings)
    said = text_of(workbench.run(until="## 5.", MILVUS_ADDRESS=milvus_file))
    assert "501 headlines are stored already" in said and "0 headlines embedded and stored, 0 deleted" in said


def test_a_search_sees_a_row_written_just_before(workbench, anywhere):
    workbench.run(until="## 7.", **anywhere)
    workbench.execute("""
ids = np.append(ids, 2 ** 62)
client.upsert(MILVUS_COLLECTION, [dict(id=2 ** 62, embedding=-embeddings[0], text="new", cluster=-1)])
seen = client.search(MILVUS_COLLECTION, [-embeddings[0]], limit=1, output_fields=["id"])[0].ids""")
    assert workbench.value("seen") == [2 ** 62]
