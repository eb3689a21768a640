"""Parameters that several models share: those of the scaling law, of its target, and prices."""

from sweep.model import Domain, Parameter

POSITIVE, NON_NEGATIVE = Domain(low=0.0, low_open=True), Domain(low=0.0)

LAW = (
    Parameter(
        "scaling_exponent",
        "exponent of the compute scaling law",
        "1",
        POSITIVE,
        aliases=("κ", "kappa", "exponent"),
    ),
    Parameter("reference_fleet", "fleet of the reference run", "accelerators", POSITIVE, aliases=("N0", "n0")),
    Parameter(
        "reference_years",
        "years the reference fleet had run at time 0",
        "years",
        POSITIVE,
        aliases=("T0", "t0"),
    ),
    Parameter(
        "irreducible_share",
        "share of the loss at time 0 that no compute removes",
        "1",
        Domain(0.0, 1.0, high_open=True),
        0.0,
        "model.md: the total-loss form",
        ("e",),
    ),
)
TARGET = Parameter("target", "relative loss to be reached", "1", POSITIVE, aliases=("R", "target_loss"))
PRICES = (
    Parameter(
        "unit_price",
        "price of one accelerator with its share of server and network",
        "USD",
        NON_NEGATIVE,
        33_800 * 1.64 / (1 - 0.19),
        "Epoch AI: H100 SXM 33,800 USD (median), server / chip 1.64, interconnect 0.19 of the cluster's cost",
        ("price",),
    ),
    Parameter(
        "power",
        "mean draw of one accelerator with its share of the server",
        "kW",
        NON_NEGATIVE,
        0.70 * 1.82 * 0.75,
        "Epoch AI training-cost code: H100 TDP 0.70 kW, server draw 1.82 x, mean load 0.75 x",
    ),
    Parameter(
        "pue",
        "power usage effectiveness of the site",
        "1",
        Domain(low=1.0),
        1.1,
        "Epoch AI training-cost code: hyperscale",
        ("PUE",),
    ),
    Parameter(
        "electricity_price",
        "price of electricity",
        "USD/kWh",
        NON_NEGATIVE,
        0.0826,
        "Epoch AI training-cost code, 2025",
    ),
)
