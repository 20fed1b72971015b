"""Keras and TensorFlow models, and the guide's image clustering with small weights."""

import pathlib
import pickle

import numpy as np
import sklearn
import tensorflow as tf
from sklearn.cluster import KMeans

from making import FOLDER, archive, archive_of, case, done, pa, schema

tf.keras.utils.set_random_seed(3)
here = pathlib.Path(__file__).parent
random = np.random.default_rng(3)
x = random.normal(size=(8, 6)).astype(np.float32)
model = tf.keras.Sequential([tf.keras.layers.Input((6,)), tf.keras.layers.Dense(5, activation="relu"), tf.keras.layers.Dense(2)])
y = model(x).numpy()
given, wanted = schema(inputs=pa.list_(pa.float32(), 6)), schema(output=pa.list_(pa.float32(), 2))
for suffix in ("h5", "keras"):
    model.save(FOLDER / f"model.{suffix}")
    case(f"keras-{suffix}", "keras", FOLDER / f"model.{suffix}", given, wanted, {"inputs": x}, {"output": y}, tolerance=1e-5, convert=True)
model.export(FOLDER / "saved", verbose=False)
case("keras-saved-model", "keras", archive_of("keras-saved.zip", FOLDER / "saved"), given, wanted, {"inputs": x}, {"output": y}, tolerance=1e-5, convert=True)
case("tensorflow-saved-model", "tensorflow", archive_of("tensorflow-saved.zip", FOLDER / "saved", "alohacnnlstm"), given, wanted, {"inputs": x}, {"output": y}, tolerance=1e-5)


class Named(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "numbers"), tf.TensorSpec([None], tf.string, "word")])
    def __call__(self, numbers, word):
        return {"total": tf.reduce_sum(numbers, 1), "upper": tf.strings.upper(word)}


named = Named()
tf.saved_model.save(named, str(FOLDER / "named"), signatures=named.__call__)
numbers, words = random.normal(size=(4, 3)).astype(np.float32), ["a", "bc", "d", "e f"]
case("tensorflow-named", "tensorflow", archive_of("named.zip", FOLDER / "named"), schema(numbers=pa.list_(pa.float32(), 3), word=pa.string()), schema(upper=pa.string(), total=pa.float32()),
     {"numbers": numbers, "word": words}, {"upper": [w.upper() for w in words], "total": numbers.sum(1)}, tolerance=1e-5)

images = random.integers(0, 255, (12, 32, 32, 3))
extractor = tf.keras.Sequential([tf.keras.layers.Input((32, 32, 3)), tf.keras.layers.Rescaling(1 / 255), tf.keras.layers.Conv2D(4, 3, strides=4, activation="relu"), tf.keras.layers.GlobalAveragePooling2D()])
extractor.save(FOLDER / "feature_extractor.h5")
embeddings = extractor(images).numpy()
clusters = KMeans(3, random_state=0, n_init=2).fit(embeddings)
(FOLDER / "kmeans.pkl").write_bytes(pickle.dumps(clusters))
guide = {name: path for name, path in (("feature_extractor.h5", FOLDER / "feature_extractor.h5"), ("kmeans.pkl", FOLDER / "kmeans.pkl"), ("custom_inference.py", here / "guide_clustering.py"))}
guide["requirements.txt"] = f"tensorflow-cpu=={tf.__version__}\nscikit-learn=={sklearn.__version__}\n"
image = pa.list_(pa.list_(pa.list_(pa.int64(), 3), 32), 32)
case("custom-image-clustering-of-the-guide", "custom", archive("vgg16_clustering.zip", guide, "vgg_clustering"), schema(images=image), schema(predictions=pa.int64()), {"images": images}, {"predictions": clusters.predict(embeddings)})
done()
