"""Models that need no more than scikit-learn."""

import operator
import pathlib
import pickle

import joblib
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from making import FOLDER, archive, case, done, np, pa, schema

here = pathlib.Path(__file__).parent
random = np.random.default_rng(7)
X = random.normal(size=(200, 4))
y = (X.sum(1) > 0).astype(int) + (X[:, 0] > 1)
rows = random.normal(size=(32, 4))
matrix = schema(inputs=pa.list_(pa.float64(), 4))


def dump(name, model, by=pickle):
    path = FOLDER / name
    with open(path, "wb") as file:
        by.dump(model, file)
    return path


logistic = LogisticRegression().fit(X, y)
case("sklearn-logistic", "sklearn", dump("logistic.pkl", logistic), matrix, schema(predictions=pa.int32()), {"inputs": rows}, {"predictions": logistic.predict(rows)}, convert=True)
case("sklearn-probabilities", "sklearn", dump("logistic2.pkl", logistic), matrix, schema(predictions=pa.int32(), probabilities=pa.list_(pa.float64(), 3)), {"inputs": rows},
     {"predictions": logistic.predict(rows), "probabilities": logistic.predict_proba(rows)}, convert=True)
forest = make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=1)).fit(X, y)
case("sklearn-pipeline-joblib", "sklearn", dump("forest.joblib", forest, joblib), matrix, schema(predictions=pa.int32()), {"inputs": rows}, {"predictions": forest.predict(rows)}, convert=True)
columns = schema(a=pa.float64(), b=pa.float64(), c=pa.float64(), d=pa.float64())
by_column = {name: rows[:, i] for i, name in enumerate("abcd")}
case("sklearn-columns", "sklearn", dump("columns.pkl", logistic), columns, schema(predictions=pa.int64()), by_column, {"predictions": logistic.predict(rows)}, convert=True)
clusters = KMeans(3, random_state=1, n_init=3).fit(X)
case("sklearn-kmeans", "sklearn", dump("kmeans.pkl", clusters), matrix, schema(predictions=pa.int32()), {"inputs": rows}, {"predictions": clusters.predict(rows)}, convert=True)
steep = make_pipeline(FunctionTransformer(np.abs), LinearRegression()).fit(X, y)
case("sklearn-does-not-convert", "sklearn", dump("function.pkl", steep), matrix, schema(output=pa.float64()), {"inputs": rows}, {"output": steep.predict(rows)}, convert=False)

lying = LinearRegression().fit(X, y)
lying.predict = operator.methodcaller("sum", axis=1)  # what converters look at is not what it answers
case("sklearn-converts-wrongly", "sklearn", dump("lying.pkl", lying), matrix, schema(output=pa.float64()), {"inputs": rows}, {"output": rows.sum(1)}, convert=False, reason="does not agree")

step = FOLDER / "step.py"
step.write_text('''def wallaroo_json(data: pd.DataFrame):
    print(data)
    return [{"output": [data["dense_2"].to_list()[0][0]]}]
''')
case("python-step-of-the-guide", "python", step, schema(dense_2=pa.list_(pa.float64())), schema(output=pa.list_(pa.float64())), {"dense_2": [[12.886651039123535]]}, {"output": [[12.886651039123535]]})
preprocess = FOLDER / "preprocess.py"
preprocess.write_text('''import numpy
import pandas

import json

# add interaction terms for the model
def actual_preprocess(pdata):
    pd = pdata.copy()
    # convert boolean cust_known to 0/1
    pd.cust_known = numpy.where(pd.cust_known, 1, 0)
    # interact UnitPrice and cust_known
    pd['UnitPriceXcust_known'] = pd.UnitPrice * pd.cust_known
    return pd.loc[:, ['UnitPrice', 'cust_known', 'UnitPriceXcust_known']]

# If the data is a json string, call this wrapper instead
# Expected input:
# a dictionary with fields 'colnames', 'data'

# test that the code works here
def wallaroo_json(data):
    obj = json.loads(data)
    pdata = pandas.DataFrame(obj['query'],
                             columns=obj['colnames'])
    pprocessed = actual_preprocess(pdata)
    
   # return a dictionary, with the fields the model expect
    return {
       'tensor_fields': ['model_input'],
       'model_input': pprocessed.to_numpy().tolist()
    }
''')
case("python-step-with-json-text", "python", preprocess, None, None, {"colnames": [["UnitPrice", "cust_known"]], "query": [[[1.5, 1.0], [2.5, 0.0]]]}, {"model_input": [[1.5, 1.0, 1.5], [2.5, 0.0, 0.0]]})
forms = {
    "dataframe": "import pandas as pd\ndef wallaroo_json(data: pd.DataFrame):\n    return pd.DataFrame({'y': data['x'] * 2})\n",
    "dictionary": "def wallaroo_json(data: dict):\n    return {'y': [x * 2 for x in data['x']]}\n",
    "records": "def wallaroo_json(data: list):\n    return [{'y': row['x'] * 2} for row in data]\n",
    "json-text-returned": "import json\ndef wallaroo_json(data):\n    return json.dumps([{'y': x * 2} for x in data['x'].tolist()])\n",
    "text": "import json\ndef wallaroo_json(data: str) -> str:\n    return json.dumps({'y': json.loads(data)['x'] * 2})\n",
    "arrow": "import pyarrow as pa, pyarrow.compute as pc\ndef wallaroo_json(data: pa.Table):\n    return pa.table({'y': pc.multiply(data['x'], 2.0)})\n",
}
for name, text in forms.items():
    path = FOLDER / f"form-{name}.py"
    path.write_text(text)
    case(f"python-step-{name}", "python", path, schema(x=pa.float64()), schema(y=pa.float64()), {"x": rows[:, 0]}, {"y": rows[:, 0] * 2})

guide = {"custom_inference.py": (here / "guide_reshaper.py").read_text(), "requirements.txt": "pillow>=10.0.0\n"}
image = schema(data=pa.list_(pa.float32(), 921600))
pixels = random.random((2, 921600)).astype(np.float32)
case("custom-reshaper-of-the-guide", "custom", archive("resize-arrow.zip", guide), image, schema(image=pa.list_(pa.float32(), 921600)), {"data": pixels}, {"image": pixels})
builder = '''
import pickle
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder
from helpers.scale import scale
from sklearn.cluster import KMeans


class Clusters(Inference):
    @property
    def expected_model_types(self):
        return {KMeans}

    def _predict(self, input_data):
        assert input_data["words"].dtype == object and input_data["nested"].shape[1:] == (2, 2)
        return {"predictions": self.model.predict(scale(input_data["inputs"])), "length": [len(word) for word in input_data["words"]],
                "tags": [{"word": word, "sums": [float(v) for v in row.sum(1)]} for word, row in zip(input_data["words"], input_data["nested"])]}


class ClustersBuilder(InferenceBuilder):
    @property
    def inference(self):
        return Clusters

    def create(self, config):
        built = self.inference()
        with open(config.model_path / "kmeans.pkl", "rb") as file:
            built.model = pickle.load(file)
        return built
'''
files = {"serve.py": builder, "helpers/__init__.py": "", "helpers/scale.py": "def scale(x):\n    return x * 2\n", "kmeans.pkl": pickle.dumps(clusters), "requirements.txt": "scikit-learn\n"}
nested = random.normal(size=(32, 2, 2))
words = [f"word-{'é' * (i % 3)}" for i in range(32)]
case("custom-clusters", "custom", archive("clusters.zip", files), schema(inputs=pa.list_(pa.float64(), 4), words=pa.string(), nested=pa.list_(pa.list_(pa.float64(), 2), 2)),
     schema(predictions=pa.int64(), length=pa.int64(), tags=pa.struct([("word", pa.string()), ("sums", pa.list_(pa.float64()))])),
     {"inputs": rows, "words": words, "nested": nested},
     {"predictions": clusters.predict(rows * 2), "length": [len(word) for word in words], "tags": [{"word": word, "sums": row.sum(1).tolist()} for word, row in zip(words, nested)]})
done()
