"""MXNet models: of Gluon with one and two inputs, and of the Module API with its label."""

import mxnet as mx
from mxnet import gluon

from making import FOLDER, archive, case, done, np, pa, schema

random = np.random.default_rng(5)
mx.random.seed(5)
rows = random.normal(size=(32, 4)).astype(np.float32)
given = schema(inputs=pa.list_(pa.float32(), 4))


def packed(name, prefix):
    return archive(name, {path.name: path for path in sorted(FOLDER.glob(f"{prefix}-*"))})


net = gluon.nn.HybridSequential()
net.add(gluon.nn.Dense(8, activation="relu"), gluon.nn.BatchNorm(), gluon.nn.Dense(3))
net.initialize(mx.init.Xavier())
net.hybridize()
said = net(mx.nd.array(rows)).asnumpy()
net.export(str(FOLDER / "dense"))
case("mxnet-gluon", "mxnet", packed("dense.zip", "dense"), given, schema(output=pa.list_(pa.float32(), 3)), {"inputs": rows}, {"output": said}, tolerance=1e-5)
case("mxnet-float64", "mxnet", packed("dense64.zip", "dense"), schema(inputs=pa.list_(pa.float64(), 4)), schema(output=pa.list_(pa.float32(), 3)), {"inputs": rows.astype(np.float64)}, {"output": said}, tolerance=1e-5)

a, b = mx.sym.var("a"), mx.sym.var("b")
both = mx.sym.Group([mx.sym.broadcast_mul(a, b, name="product"), mx.sym.broadcast_add(a, b, name="sum")])
both.save(str(FOLDER / "two-symbol.json"))
mx.nd.save(str(FOLDER / "two-0000.params"), {"arg:unused": mx.nd.zeros(1)})
case("mxnet-two-inputs", "mxnet", packed("two.zip", "two"), schema(b=pa.list_(pa.float32(), 4), a=pa.list_(pa.float32(), 4)),
     schema(product=pa.list_(pa.float32(), 4), sum=pa.list_(pa.float32(), 4)), {"a": rows, "b": rows * 2}, {"product": rows * rows * 2, "sum": rows * 3}, tolerance=1e-5)

symbol = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=3, name="full"), name="softmax")
module = mx.mod.Module(symbol, context=mx.cpu())
module.bind(data_shapes=[("data", rows.shape)], label_shapes=[("softmax_label", (32,))])
module.init_params(mx.init.Xavier())
module.save_checkpoint(str(FOLDER / "softmax"), 7)
module.forward(mx.io.DataBatch([mx.nd.array(rows)], [mx.nd.zeros(32)]), is_train=False)
case("mxnet-module", "mxnet", packed("softmax.zip", "softmax"), given, schema(probabilities=pa.list_(pa.float32(), 3)), {"inputs": rows}, {"probabilities": module.get_outputs()[0].asnumpy()}, tolerance=1e-5)
done()
