"""Pickles as the guide's versions write them. To be run in an environment that has these."""

import pickle

import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from making import FOLDER, case, done, np, pa, schema

random = np.random.default_rng(3)
X = random.normal(size=(200, 4)).astype(np.float32)
y = (X.sum(1) > 0).astype(int)
rows = random.normal(size=(32, 4)).astype(np.float32)
given, answers = schema(inputs=pa.list_(pa.float32(), 4)), schema(output=pa.int32())


def dump(name, model):
    (FOLDER / name).write_bytes(pickle.dumps(model))
    return FOLDER / name


assert sklearn.__version__ == "1.3.0", sklearn.__version__
for name, model in (("logistic", LogisticRegression()), ("forest", RandomForestClassifier(5, random_state=1))):
    fitted = model.fit(X, y)
    case(f"sklearn-1.3.0-{name}", "sklearn", dump(f"{name}.pkl", fitted), given, answers, {"inputs": rows}, {"output": fitted.predict(rows)})
try:
    import xgboost
except ModuleNotFoundError:
    pass
else:
    assert xgboost.__version__ == "1.7.4", xgboost.__version__
    fitted = xgboost.XGBClassifier(n_estimators=5).fit(X, y)
    case("xgboost-1.7.4", "xgboost", dump("xgb.pkl", fitted), given, answers, {"inputs": rows}, {"output": fitted.predict(rows)}, tolerance=1e-5)
    booster = fitted.get_booster()
    case("xgboost-1.7.4-booster", "xgboost", dump("booster.pkl", booster), given, schema(output=pa.float32()), {"inputs": rows}, {"output": booster.predict(xgboost.DMatrix(rows))}, tolerance=1e-5)
done()
