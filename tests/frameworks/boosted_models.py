"""XGBoost and LightGBM models."""

import pickle

import lightgbm
import xgboost

from making import FOLDER, case, done, np, pa, schema

random = np.random.default_rng(11)
X = random.normal(size=(300, 4)).astype(np.float32)
y = (X.sum(1) > 0).astype(int) + (X[:, 0] > 1)
rows = random.normal(size=(32, 4)).astype(np.float32)
given = schema(inputs=pa.list_(pa.float32(), 4))
number, chance = schema(output=pa.float32()), schema(output=pa.int32(), probabilities=pa.list_(pa.float32(), 3))


def dump(name, model):
    (FOLDER / name).write_bytes(pickle.dumps(model))
    return FOLDER / name


classifier = xgboost.XGBClassifier(n_estimators=5).fit(X, y)
regressor = xgboost.XGBRegressor(n_estimators=5).fit(X, X[:, 0])
said = {"output": classifier.predict(rows), "probabilities": classifier.predict_proba(rows)}
case("xgboost-classifier", "xgboost", dump("xgbc.pkl", classifier), given, chance, {"inputs": rows}, said, tolerance=1e-5, convert=True)
case("xgboost-regressor", "xgboost", dump("xgbr.pkl", regressor), schema(inputs=pa.list_(pa.float64(), 4)), number, {"inputs": rows.astype(np.float64)}, {"output": regressor.predict(rows)}, tolerance=1e-5, convert=True)
for suffix in ("json", "ubj"):
    classifier.save_model(FOLDER / f"model.{suffix}")
    raw = classifier.get_booster().predict(xgboost.DMatrix(rows))
    try:
        own = xgboost.XGBClassifier()
        own.load_model(FOLDER / f"model.{suffix}")
    except Exception as error:  # noqa: BLE001
        raise SystemExit(f"XGBoost cannot read its own {suffix}: {error}")
    case(f"xgboost-{suffix}", "xgboost", FOLDER / f"model.{suffix}", given, schema(output=pa.list_(pa.float32(), 3)), {"inputs": rows}, {"output": raw}, tolerance=1e-5)
booster = regressor.get_booster()
case("xgboost-booster", "xgboost", dump("booster.pkl", booster), given, number, {"inputs": rows}, {"output": booster.predict(xgboost.DMatrix(rows))}, tolerance=1e-5, convert=False, reason="bare booster")
light = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y)
case("lightgbm-classifier", "lightgbm", dump("lgbc.pkl", light), given, chance, {"inputs": rows}, {"output": light.predict(rows), "probabilities": light.predict_proba(rows)}, tolerance=1e-5, convert=True)
line = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(X, X[:, 0])
case("lightgbm-regressor", "lightgbm", dump("lgbr.pkl", line), given, number, {"inputs": rows}, {"output": line.predict(rows)}, tolerance=1e-5, convert=True)
line.booster_.save_model(str(FOLDER / "model.txt"))
case("lightgbm-text", "lightgbm", FOLDER / "model.txt", given, number, {"inputs": rows}, {"output": line.predict(rows)}, tolerance=1e-5)
done()
