import numpy as np
import pandas as pd


def wallaroo_json(data: pd.DataFrame):
    ratio = data["amount"] / data["income"]
    return pd.DataFrame({"ratio": ratio, "risk": np.log1p(ratio) * data["age"] / (1 + data["years"])})
