"""Wrong values on the command line: every command, one message, nothing made."""

import pytest

RUN = "run microworld --out out "
PLAN = "plan microworld --slice h100-8 "
QUICK = (
  "probe microworld --out out --gin.probe.max_queries=1 --gin.probe.seeds=[0] "
  "--gin.probe.probes=['settings'] "
)
EVALUATE = "instruct eval --out out --model baseline:reference "
DISTIL = "instruct distil distil_microworld --out out "
WRONG = {
  # Arguments and options.
  "frobnicate": "No such command",
  "run": "Missing argument",
  "run microworld": "--out",
  "run nowhere --out out": "no recipe at 'nowhere'",
  "run microworld.yaml --out out": "no recipe at",
  RUN + "--step 3": "--gin.NAME=VALUE",
  RUN + "--workers many": "--workers",
  RUN + "--workers -1": "workers",
  RUN + "--vocab nowhere.model": "no file at nowhere.model",
  "train microworld --out out --model-devices 0": "--model-devices",
  "train microworld --out out --model-devices 1000": "it must divide the number of",
  "train microworld --out out --microbatches 0": "--microbatches",
  "train microworld --out out --microbatches x": "--microbatches",
  "probe microworld --out out": "there is no run",
  "probe microworld --out out --step x": "--step",
  "probe microworld --out out --step 1 --checkpoint a": "expected one",
  "probe microworld --out out --dtype bfloat16": "--dtype",
  "probe microworld --out out --probes nope --step 0": "nope",
  QUICK + "--checkpoint nowhere": "nowhere",
  QUICK + "--checkpoint baseline:nope": "nope",
  "report nowhere": "no results at nowhere",
  "report nowhere --rule best": "--rule: got 'best'",
  "instruct": "Commands:",
  "instruct eval": "Missing option",
  EVALUATE + "--data nowhere": "nothing at nowhere",
  EVALUATE + "--data . --form flan": "--form: got 'flan'",
  EVALUATE + "--data . --instances 0": "--instances",
  EVALUATE + "--data . --max-inputs 0": "--max-inputs",
  EVALUATE + "--data . --tasks nowhere.txt": "nowhere.txt: the list",
  EVALUATE + "--data . --train-tasks nowhere.txt": "--train-tasks nowhere.txt",
  EVALUATE + "--data . --encoding cot": "--encoding: got 'cot'",
  "instruct distil": "Missing argument",
  "instruct distil nowhere": "no instruct recipe at 'nowhere'",
  "instruct distil distil_smollm2": "nothing at instructions.jsonl",
  DISTIL + "--slice x9-3": "x9-3",
  DISTIL + "--gin.Teacher.licence=''": "Teacher.licence: got no text",
  DISTIL + "--gin.Teacher.encoding=cot": "Teacher.encoding: got 'cot'",
  RUN + "--gin.probe.suite=''": "asks nothing",
  "tasks --suite nope": "nope",
  "tasks --suite nope.yaml": "nope.yaml: cannot be read",
  "preview nope": "unknown task card 'nope'",
  "preview nope.yaml --data .": "nope.yaml: cannot be read",
  "preview sst2": "--data",
  "preview sst2 --data nowhere": "sst2.jsonl: no such file",
  "preview micro_nope": "unknown microworld task",
  "preview micro_medicine_room --labels french": "--labels: got 'french'",
  "preview micro_medicine_room --shots -1": "--shots",
  "preview micro_medicine_room --shots 1000000": "has 24 rows",
  "preview micro_medicine_room --count 0": "--count",
  "preview micro_medicine_room --max-inputs 0": "--max-inputs",
  "preview micro_medicine_room --vocab nowhere": "no file at nowhere",
  "plan microworld": "--slice",
  "plan microworld --slice x9-3": "x9-3",
  "plan microworld --slice h100-0": "h100-0",
  PLAN + "--mfu x": "--mfu",
  "convert nowhere out": "nowhere",
  "convert hf://nope out": "hf://nope",
  "convert gs:// out": "gs://",
  "sweep nowhere --out out": "no sweep at 'nowhere'",
  "sweep microworld_sizes --out out --only x": "--only: the sweep microworld_sizes has",
  "sweep microworld_arms --out out --only x": "--only: got 'x', expected one of",
  "sweep microworld_arms --out out --vocab nowhere": "no file at nowhere",
  "data get nope --to out": "nope",
  "data get microworld_train --to out": "has no row files",
  "data get symbol_tuning_train --to out --task nope": "has no task nope",
  "data get symbol_tuning_train --to out --max-rows 0": "--max-rows",
  "data get symbol_tuning_train --to out --task cb --hub nowhere": "no such data set",
  "data verify nowhere": "no folder at nowhere",
  "data stats nowhere": "no folder at nowhere",
  "data stats .": "holds no row file",
  "data leaks nope symbol_tuning_eval": "nope",
  "data leaks symbol_tuning_train symbol_tuning_eval": "--data",
  "data leaks microworld_train microworld_eval --overlap x": "--overlap",
  "symbols check": "--vocab",
  "symbols check --vocab nowhere": "no file at nowhere",
  "t5x train --data nowhere": "--data: nowhere does not exist",
  "t5x train --vocab nowhere": "--vocab: nowhere does not exist",
  # Overrides of a recipe.
  PLAN + "--gin.X=[1,": "--gin.X: ",
  PLAN + "--gin.Recipe.seed=[1,": "--gin.Recipe.seed: got",
  PLAN + "--gin.Recipe.seed=": "--gin.Recipe.seed: got ''",
  PLAN + "--gin.Recipe.seed=abc": "Recipe.seed: got 'abc' (str)",
  PLAN + "--gin.Recipe.seed=)": "--gin.Recipe.seed: got ')'",
  PLAN + "--gin.Recipe.seed='": "--gin.Recipe.seed: got",
  PLAN + "--gin.Recipe.seed=1,2": "--gin.Recipe.seed: got '1,2'",
  PLAN + "--gin.Recipe.seed=1+1": "--gin.Recipe.seed: got '1+1'",
  PLAN + "--gin.Recipe.seed=-": "--gin.Recipe.seed: got '-'",
  PLAN + "--gin.Recipe.seed=%": "--gin.Recipe.seed: ",
  PLAN + "--gin.Recipe.seed=@": "--gin.Recipe.seed: ",
  PLAN + "--gin.Recipe.seed=@os.system()": "No configurable matching",
  PLAN + "--gin.Recipe.seed=%NOPE": "%NOPE, which is never set",
  PLAN + "--gin.Recipe.seed=1.5": "Recipe.seed: got 1.5 (float)",
  PLAN + "--gin.Recipe.seed=1e999": "Recipe.seed: got inf",
  PLAN + "--gin.Recipe.seed=None": "Recipe.seed: got None",
  PLAN + "--gin.Recipe.seed=True": "Recipe.seed: got True",
  PLAN + "--gin.Recipe.seed={1:2}": "Recipe.seed: got {1: 2}",
  PLAN + "--gin.Recipe.seed={[1]:2}": "unhashable",
  PLAN + "--gin.Recipe.seed=" + "[" * 5_000: "--gin.Recipe.seed: got",
  PLAN + "--gin.Recipe.seed=" + "9" * 5_000: "--gin.Recipe.seed: got",
  PLAN + "--gin.Recipe.nope=1": "nope",
  PLAN + "--gin.Recipe.=1": "--gin.Recipe.: ",
  PLAN + "--gin..seed=1": "--gin..seed: ",
  PLAN + "--gin.=1": "--gin.: ",
  PLAN + "--gin.Recipe.seed": "--gin.NAME=VALUE",
  PLAN + "--gin": "--gin.NAME=VALUE",
  PLAN + "--gin.Nope.x=1": "No configurable matching 'Nope'",
  PLAN + "--gin.TrainSettings.steps=0": "steps is 0",
  PLAN + "--gin.TrainSettings.steps=-5": "steps is -5",
  PLAN + "--gin.TrainSettings.steps='9'": "steps",
  PLAN + "--gin.T5Config.emb_dim=0": "emb_dim",
  PLAN + "--gin.T5Config.emb_dim=-1": "emb_dim",
  PLAN + "--gin.T5Config.emb_dim=1.5": "emb_dim",
  PLAN + "--gin.T5Config.num_heads=0": "num_heads",
  PLAN + "--gin.T5Config.dtype='int8'": "dtype",
  PLAN + "--gin.T5Config.dropout_rate='x'": "dropout_rate",
  PLAN + "--gin.mixture.batch_size=0": "batch_size",
  PLAN + "--gin.mixture.window=0": "window",
  PLAN + "--gin.mixture.mixing='x'": "mixture.mixing: got 'x'",
  PLAN + "--gin.mixture.leaks='x'": "mixture.leaks: got 'x'",
  PLAN + "--gin.symbols.categories=['x']": "'x'",
  PLAN + "--gin.optimizer.name='x'": "optimizer.name: got 'x'",
  PLAN + "--gin.optimizer.schedule='x'": "optimizer.schedule: got 'x'",
  PLAN + "--gin.loss.normalizer='x'": "loss.normalizer: got 'x'",
  PLAN + "--gin.probe.answers='x'": "probe.answers: got 'x'",
  PLAN + "--gin.probe.calibration=['x']": "probe.calibration: got 'x'",
  PLAN + "--gin.probe.seeds=['a']": "seeds",
  PLAN + "--gin.probe.tokens_per_batch=0": "tokens_per_batch",
}


@pytest.mark.parametrize(("command", "message"), WRONG.items())
def test_a_wrong_command_line_is_refused(
  command, message, refused, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("COLUMNS", "500")
  assert message in refused(*command.split())
  assert not list(tmp_path.iterdir())


def test_names_that_are_not_utf8_are_shown_escaped(refused, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  bad = b"caf\xe9".decode("utf-8", "surrogateescape")
  for command in (
    ("report", bad),
    ("tasks", "--suite", f"{bad}.yaml"),
    ("preview", f"{bad}.yaml", "--data", "."),
    ("data", "stats", bad),
    ("convert", bad, "out"),
    ("run", bad, "--out", "out"),
    ("symbols", "check", "--vocab", bad),
    ("plan", "microworld", "--slice", "h100-8", f"--gin.Recipe.name={bad}"),
    ("plan", "microworld", "--slice", "h100-8", f"--gin.{bad}.x=1"),
  ):
    assert "caf" in refused(*command)
  assert not list(tmp_path.iterdir())
