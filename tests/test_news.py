"""Real news: copies of a headline in other letters and spaces, and headlines in other languages."""
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

TITLES = ["Rain stops play", "RAIN STOPS PLAY", " rain  stops play. ", "«Rain» stops: play!", "Rain stops display"]
LANGUAGES = {  # three stories of twelve headlines each: beginnings and endings that go together
    "Chinese": [
        ("云溪大桥", ["突然关闭", "裂缝扩大", "维修方案公布", "限行引发拥堵"], ["市长林岳道歉", "专家要求全面检查", "两岸居民改乘渡船"]),
        ("北岭队", ["夺得冰球冠军", "门将赵霁扑出点球", "庆祝游行延期"], ["球迷涌上街头", "教练宣布退休", "决赛创收视纪录", "奖杯运抵北岭"]),
        ("青禾银行", ["系统瘫痪", "客户无法取款", "遭黑客勒索"], ["行长高岑辞职", "监管部门展开调查", "赔偿计划出台", "柜台排起长队"])],
    "Japanese": [
        ("霧島港の台風", ["で防波堤が壊れる", "で漁船が流される", "の被害が広がる"], ["、住民は避難所へ", "、復旧に三か月", "、鉄道も運休", "、市が支援金"]),
        ("白峰高校の駅伝部", ["が初優勝", "が連覇を逃す", "が新記録"], ["、主将の森川が涙", "、監督が勇退へ", "、地元で祝賀会", "、沿道に三万人"]),
        ("灯台カフェの猫", ["が行方不明", "が三年ぶりに帰る", "が駅長に就任"], ["、店主は喜ぶ", "、観光客が殺到", "、写真集も人気", "、町が感謝状"])],
    "Korean": [
        ("은하읍 산불", ["이틀째 번져", "주불 잡혔다", "원인 조사 시작"], ["주민 대피령 유지", "소방 헬기 열 대 투입", "마을회관에 임시 거처", "군수 오태진 사과"]),
        ("솔빛 전자", ["배터리 결함 인정", "전화기 전량 회수", "주가 급락"], ["소비자 환불 시작", "공장 가동 중단", "대표 한도윤 사임", "집단 소송 예고"]),
        ("강나루 다리", ["개통 석 달 만에 통제", "균열 발견", "보수 공사 착수"], ["출근길 혼잡", "시공사 압수수색", "배편 두 배로 늘려", "시민들 분통"])],
    "German": [
        ("Fährstreik in Quellhafen", ["geht weiter", "trifft Pendler", "beschäftigt das Gericht"],
         ["Lotsen fordern mehr Lohn", "Insel Nordsand ohne Milch", "Reederin Vossbeck bleibt hart", "Schlichter lädt ein"]),
        ("Orgeldieb von Mühltal", ["gefasst", "legt Geständnis ab", "narrt die Polizei"],
         ["Pfeifen lagen im Heu", "Kantor Brömel weint vor Glück", "Gemeinde feiert Gottesdienst", "Zwölf Kirchen bestohlen"]),
        ("Seilbahn am Grauhorn", ["steht still", "wird saniert", "bleibt umstritten"],
         ["Gäste saßen fünf Stunden fest", "Bürgermeisterin Thal verspricht Aufklärung", "Motor war veraltet", "Wirte fürchten Winter"])],
    "Portuguese": [
        ("Barragem de Vale Sereno", ["ameaça romper", "resiste à cheia", "é esvaziada"],
         ["moradores deixam as casas", "engenheira Lígia Prado pede calma", "escolas fecham", "governo envia bombas"]),
        ("Clube Estrela do Cais", ["conquista a taça", "perde seu goleiro", "demite o técnico"],
         ["torcida invade a praça", "Dario Menezes chora no gramado", "final teve onze gols", "desfile fica para domingo"]),
        ("Greve dos bondes em Porto Lume", ["entra no terceiro dia", "chega ao fim", "divide o sindicato"],
         ["passageiros andam a pé", "prefeita Alba Couto negocia", "comércio reclama", "tarifa continua igual"])]}


def headlines(language):
    """Return (story, headline) for each headline of a language, in an order that mixes the stories."""
    space = "" if language in ("Chinese", "Japanese") else " "
    comma = {"Chinese": "，", "Japanese": "", "Korean": ", "}.get(language, ": ")
    return sorted(((subject, f"{subject}{space}{what}{comma}{more}") for subject, events, others in LANGUAGES[language]
                   for what in events for more in others), key=lambda pair: pair[1][::-1])


@pytest.mark.parametrize("language", LANGUAGES)
def test_stories_of_other_languages_are_found_and_named(run, tmp_path, language):
    subjects, titles = zip(*headlines(language))
    pd.DataFrame({"title": titles}).to_csv(tmp_path / "news.csv", index=False)
    found = run(until=10, NEWS_CSV=tmp_path / "news.csv", OUTPUT_DIR=tmp_path)
    assert len(set(titles)) == len(found.news) == 36 and len(found.stories) >= 3
    truth = found.news["title"].map(dict(zip(titles, subjects)))
    for number, story in found.stories.iterrows():
        assert truth[found.labels == number].nunique() == 1
        assert story["name"] in found.news["title"][found.labels == number].tolist()
        assert language in ("Chinese", "Japanese") or story["words"] != ""
    drawn = [trace.text[0] for trace in found.fig.data if trace.mode == "text"]
    assert drawn
    for text in drawn:
        beginning, full = "".join(text.replace("<br>", "").split()), ["".join(name.split()) for name in found.stories["name"]]
        assert any(beginning == name or name.startswith(beginning.removesuffix("…")) and beginning[-1] == "…" for name in full)


@pytest.mark.parametrize("language", ["Chinese", "Japanese"])
def test_clauses_are_no_words(run, tmp_path, language):
    """Where there are no spaces, what stands between two signs is a clause, also one that several headlines share."""
    pd.DataFrame({"title": [title for _, title in headlines(language)]}).to_csv(tmp_path / "news.csv", index=False)
    found = run(until=9, NEWS_CSV=tmp_path / "news.csv")
    assert len(found.stories) >= 3 and (found.stories["words"] == "").all()


@pytest.mark.parametrize("largest", [0, 1, 2])
def test_copies_of_a_headline_change_no_story(run, sample_run, sample, tmp_path, largest):
    """Also: the rows of the file may come in any order."""
    before = sample_run.clusters.set_index("title")
    name = sample_run.stories["name"][largest]
    row = sample[sample["title"] == name].iloc[0]
    copies = pd.DataFrame([{**row, "title": title} for title in (
        name.upper(), name.lower(), name.replace(" ", "  "), name + ".")])
    copies.loc[copies["title"] == name.upper(), "description"] = row["description"].upper()
    table = pd.concat([sample, copies]).sample(frac=1, random_state=largest)
    table.to_csv(tmp_path / "copies.csv", index=False)
    found = run(skip=[10, 11], NEWS_CSV=tmp_path / "copies.csv")
    assert "505 titles in" in found.said and "4 of them copies" in found.said
    saved = pd.read_csv(tmp_path / "output" / "clusters.csv", keep_default_na=False)
    assert len(saved) == 505 and saved[list(sample)].equals(table.reset_index(drop=True))
    same = saved[saved["title"].isin([name, *copies["title"]])]
    assert len(same) == 5 and (same[["cluster", "probability", "cluster_name", "x", "y"]].nunique() == 1).all()
    assert (saved["cluster"] == same["cluster"].iloc[0]).sum() == sample_run.stories["headlines"][largest] + 4
    after = saved.set_index("title")["cluster"].loc[before.index]
    assert adjusted_rand_score(before["cluster"], after) == 1.0 and (after < 0).equals(before["cluster"] < 0)


def test_shuffled_rows_give_the_same_table(run, sample_run, sample, tmp_path):
    sample.sample(frac=1, random_state=3).to_csv(tmp_path / "sample_headlines.csv", index=False)
    found = run(skip=[10, 11], NEWS_CSV=tmp_path / "sample_headlines.csv")
    assert found.news.equals(sample_run.news)
    assert found.clusters.set_index("title").loc[sample["title"]].equals(sample_run.clusters.set_index("title"))


@pytest.mark.parametrize("titles, kept", [
    (TITLES, 2), (["Rates rise to 1.5", "Rates rise to 15"], 2),
    (["दिल", "दल", "दौल", "दाल", "दिल!"], 4),  # vowel signs tell words apart
    (["🌧️", "☀️", "🌧️🌧️", "!?", "?!"], 5),  # nothing but signs: compared as they are
])
def test_what_is_a_copy(run, tmp_path, titles, kept):
    others, chosen = [f"Another headline, {number}" for number in range(5)], []
    for order in 1, -1:
        pd.DataFrame({"title": (titles + others)[::order]}).to_csv(tmp_path / "news.csv", index=False)
        found = run(until=3, NEWS_CSV=tmp_path / "news.csv")
        assert len(found.news) == kept + 5
        assert f"{len(titles) + 5} titles in" in found.said and f"{len(titles) - kept} of them copies" in found.said
        chosen.append(found.news)
    assert chosen[0].equals(chosen[1])  # the same one of the copies
