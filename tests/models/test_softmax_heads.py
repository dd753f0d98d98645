"""The baseline's head is pytorch-metric-learning's NormalizedSoftmaxLoss; ours is a dot product without a bias."""

import torch
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss
from torch.nn import functional

from shoplens.models.softmax_heads import NormSoftmaxHead, SoftmaxHead, standardised


def test_norm_softmax_equals_pytorch_metric_learning_in_loss_and_gradients() -> None:
    torch.manual_seed(0)
    head = NormSoftmaxHead(dim=16, classes=7).double()
    theirs = NormalizedSoftmaxLoss(num_classes=7, embedding_size=16, temperature=0.05).double()
    theirs.W.data = head.weight.data.T.clone()
    pooled = torch.randn(10, 16, dtype=torch.float64, requires_grad=True)
    copied = pooled.detach().clone().requires_grad_()
    targets = torch.randint(7, (10,))

    ours = functional.cross_entropy(head(pooled), targets)
    ours.backward()
    expected = theirs(torch.nn.LayerNorm(16, elementwise_affine=False)(copied), targets)
    expected.backward()

    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(head.weight.grad, theirs.W.grad.T, rtol=0, atol=1e-10)
    torch.testing.assert_close(pooled.grad, copied.grad, rtol=0, atol=1e-10)


def test_the_baselines_embedding_has_no_parameters_and_is_centred_at_zero() -> None:
    embeddings = standardised(torch.rand(5, 64) + 3)
    torch.testing.assert_close(embeddings.mean(dim=1), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(embeddings.square().mean(dim=1), torch.ones(5), rtol=0, atol=1e-2)
    assert [name for name, _ in NormSoftmaxHead(64, 3).named_parameters()] == ["weight"]


def test_a_softmax_head_is_dot_products_with_its_proxies() -> None:
    head = SoftmaxHead(dim=4, classes=3)
    embeddings = torch.randn(2, 4)
    assert [name for name, _ in head.named_parameters()] == ["weight"]
    assert head.weight.abs().max() <= 0.5
    torch.testing.assert_close(head(embeddings), embeddings @ head.weight.T)
