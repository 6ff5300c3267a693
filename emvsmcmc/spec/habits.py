"""What users of PyMC write, and what to write here instead: one list, as data.

A name that exists here is never looked up in these lists. A test holds them against `dir(pymc)`.
"""

from __future__ import annotations

from collections.abc import Sequence

CONDITION = "A spec holds no data: write ev.condition(spec, {name: values})"

# keyword of a constructor -> what to write
KEYWORDS = {
    "observed": f"{CONDITION}, which decides what is observed.",
    "shape": 'Write dims="name", and give the name a size in ev.Spec(coords={"name": size}); without coords it is a row dim.',
    "size": 'Write dims="name", and give the name a size in ev.Spec(coords={"name": size}); without coords it is a row dim.',
    "initval": "Starting values are an option of the fit: ev.fit_em(problem, init={name: value}).",
    "testval": "Starting values are an option of the fit: ev.fit_em(problem, init={name: value}).",
    "total_size": "Rows are weighted by ev.condition(spec, data, weights=...); out-of-core rows come as Dask arrays.",
    "transform": "Each support has its own transform; to name components in order write ev.Spec(ordered={dim: parameter}).",
    "default_transform": "Each support has its own transform; nothing is to be chosen.",
    "model": "Declare inside 'with ev.Spec() as spec:'.",
    "rng": "Random seeds belong to what draws: ev.simulate(spec, ..., random_seed=0).",
    "logp": "Densities are those of the families.",
    "tau": "A precision is sigma = 1 / ev.math.sqrt(tau).",
    "sd": "The standard deviation is called sigma.",
    "logit_p": "Write p = ev.math.sigmoid(logit_p).",
    "chol": "Write the covariance matrix, cov=.",
    "lower": "This distribution has no bounds.",
    "upper": "This distribution has no bounds.",
    "mutable": f"{CONDITION}; other data make another problem.",
    "value": f"{CONDITION}.",
    "coords": "coords belong to ev.Spec(coords={dim: labels}).",
}

# argument of Spec that pm.Model has -> what to write
SPEC = {
    "name": "A spec has no name: the variable that holds it is one.",
    "model": "Specs do not nest: declare everything in one.",
    "check_bounds": "Values are always checked.",
    "coords_mutable": "A dim whose size comes from data is one without coords.",
    "dims": "dims belong to the variables; sizes and labels of dims are coords.",
}

# what PyMC offers in its namespace -> what to write here
NAMES = {
    "Model": "write 'with ev.Spec(coords=...) as spec:'; ev.to_pymc(problem) gives the pm.Model",
    "sample": "write ev.fit_mcmc(problem), or ev.fit_em(problem) for EM, or ev.compare(problem) for both",
    "fit": "write ev.fit_em(problem)",
    "find_MAP": 'write ev.fit_em(problem, objective="map")',
    "find_constrained_prior": "choose the prior's arguments by hand, and look at them with ev.simulate(spec, sizes)",
    "sample_prior_predictive": "write ev.simulate(spec, sizes)",
    "sample_posterior_predictive": "ev.fit_mcmc(problem) holds posterior_predictive already",
    "draw": "write ev.simulate(spec, sizes)",
    "Minibatch": "give ev.condition Dask arrays: rows are then read in chunks",
    "MutableData": f'write ev.Data("x", dims="row"). {CONDITION}',
    "ConstantData": f'write ev.Data("x", dims="row"), or ev.constant(array, dims=...). {CONDITION}',
    "set_data": f"write another problem. {CONDITION}",
    "get_data": "read a file yourself, and pass its columns to ev.condition",
    "observe": CONDITION[0].lower() + CONDITION[1:],
    "do": "fix parameters with ev.condition(spec, data, fixed={name: value})",
    "Point": "write a dict of parameter values",
    "Potential": "a spec is a joint distribution: say the same with priors, row weights (ev.condition(..., weights=...)) or soft "
    "labels; or add the Potential to the model that ev.to_pymc(problem) gives",
    "Deterministic": 'write ev.Deterministic("name", expression)',
    "Mixture": "declare the assignment, which both engines sum out: z = ev.Categorical('z', weight, dims='row'), then mean[z], "
    "or ev.Switch('y', z, [ev.Normal.dist(...), ev.Poisson.dist(...)], dims='row') for different distributions",
    "NormalMixture": "declare the assignment, which both engines sum out: z = ev.Categorical('z', weight, dims='row'), then "
    "ev.Normal('y', mean[z], sigma[z], dims='row')",
    "ZeroInflatedPoisson": "write ev.Switch('y', z, [ev.Dirac.dist(0), ev.Poisson.dist(mu)], dims='row') with z a Bernoulli",
    "ZeroInflatedBinomial": "write ev.Switch('y', z, [ev.Dirac.dist(0), ev.Binomial.dist(n, p)], dims='row') with z a Bernoulli",
    "ZeroInflatedNegativeBinomial": "write ev.Switch('y', z, [ev.Dirac.dist(0), ev.NegativeBinomial.dist(...)], dims='row') with "
    "z a Bernoulli",
    "DiracDelta": "write ev.Dirac(name, c)",
    "LKJCholeskyCov": "write ev.LKJCov(name, eta, sd), a density on the covariance matrix, or ev.InverseWishart",
    "LKJCorr": "write ev.LKJCov(name, eta, sd), a density on the covariance matrix",
    "Wishart": "write ev.InverseWishart(name, nu, scale) for the covariance matrix",
    "WishartBartlett": "write ev.InverseWishart(name, nu, scale) for the covariance matrix",
    "HalfFlat": "write a wide prior, such as ev.HalfCauchy(name, 1000), or maximum likelihood, which reads no prior",
    "Flat": "write a wide prior, such as ev.Normal(name, 0, 1000), or maximum likelihood, which reads no prior",
    "Cauchy": "write ev.StudentT(name, 1, alpha, beta), which is the same distribution",
    "HalfStudentT": "write ev.HalfCauchy or ev.HalfNormal",
    "ChiSquared": "write ev.Gamma(name, nu / 2, 0.5), which is the same distribution",
    "LogitNormal": "write p = ev.math.sigmoid(ev.Normal(name, mu, sigma)), which is the same distribution for p",
    "LogNormal": "write ev.math.exp(ev.Normal(name, mu, sigma)), the same distribution for a parameter; take logarithms of data",
    "Kumaraswamy": "write ev.Beta(name, alpha, beta), which is much alike",
    "Logistic": "write ev.StudentT(name, 7, mu, sigma), which is much alike",
    "Laplace": "write ev.StudentT(name, 4, mu, sigma), whose tails are heavy too",
    "ZeroSumNormal": "write ev.Normal(name, 0, sigma, dims=...), whose prior keeps the sum near 0",
    "StickBreakingWeights": "write ev.Dirichlet(name, a, dims=...)",
    "OrderedLogistic": "write ev.Categorical with probabilities that are differences of ev.math.sigmoid, stacked",
    "OrderedProbit": "write ev.Categorical with probabilities that are differences of ev.math.sigmoid, stacked",
    "Truncated": "bounded distributions are not covered; a parameter between bounds is ev.Uniform(name, lower, upper)",
    "TruncatedNormal": "a parameter above 0 is ev.HalfNormal, one between bounds ev.Uniform(name, lower, upper)",
    "Censored": "censored values are not covered; leave them as holes only where what is missing does not depend on its value",
    "GaussianRandomWalk": "rows are independent here; give each row its time as ev.Data and a mean that depends on it",
    "AR": "rows are independent here; pass the value before as a covariate, ev.Data",
    "gp": "Gaussian processes are not covered",
    "logp": "the density of given values is ev.fit_em(problem).log_likelihood; ev.to_pymc(problem) gives a model for pm.logp",
    "compute_log_likelihood": "ev.fit_mcmc(problem) holds log_likelihood already",
    "model_to_graphviz": "write print(spec.explain()), or pm.model_to_graphviz(ev.to_pymc(problem))",
    "modelcontext": "a spec is open inside its 'with' block only",
    "CustomDist": "a distribution is a family: one file in emvsmcmc/families and one line of its list",
    "DensityDist": "a distribution is a family: one file in emvsmcmc/families and one line of its list",
    "plot_trace": "ev.fit_mcmc gives a DataTree with ArviZ's groups: write az.plot_trace(posterior)",
    "summary": "ev.fit_mcmc gives a DataTree with ArviZ's groups: write az.summary(posterior); ev.compare(problem) has both",
}

# the other public names of PyMC 5 and 6 (a test keeps the list whole): none has a counterpart here
OTHERS = frozenset(
    """
    ADVI ASVGD AsymmetricLaplace BaseModel BetaBinomial BinaryGibbsMetropolis BinaryMetropolis CAR CategoricalGibbsMetropolis
    Continuous DEMetropolis DEMetropolisZ DirichletMultinomial Discrete DiscreteUniform DiscreteWeibull Distribution Empirical
    EulerMaruyama ExGaussian FrozenModel FullRank FullRankADVI GARCH11 Geometric Group Gumbel HamiltonianMC HurdleGamma
    HurdleLogNormal HurdleNegativeBinomial HurdlePoisson HyperGeometric ICAR Interpolated KroneckerNormal Lognormal MatrixNormal
    MeanField Metropolis Moyal Multinomial MvGaussianRandomWalk MvStudentT MvStudentTRandomWalk NUTS NegativeBinomial
    OrderedMultinomial Pareto PolyaGamma RandomWalk Rice SVGD Simulator SkewNormal SkewStudentT Slice SymbolicRandomVariable
    Triangular VonMises Wald Weibull adadelta adagrad adagrad_window adam adamax apply_momentum apply_nesterov_momentum backends
    blocking compile compile_fn compile_forward_sampling_function compute_deterministics data distributions exceptions
    find_hessian func_utils icdf init_nuts initial_point logccdf logcdf logging logprob model model_graph model_to_mermaid
    model_to_networkx momentum nesterov_momentum norm_constraint ode plots predictions_to_inference_data progress_bar pytensorf
    rmsprop sample_approx sample_smc sampling sgd smc stats step_methods to_inference_data total_norm_constraint tuning util
    variational vartypes vectorize_over_posterior
    """.split()  # noqa: SIM905  a list of words is read as one
)

# function of pm.math (or pt) -> what to write here
MATH = {
    "concatenate": "write ev.math.stack([a, b], dim=...), one position of the new dim each",
    "dot": "write ev.dot(a, b) or a @ b, which sums the one dim with coords that both have",
    "matmul": "write a @ b, which sums the one dim with coords that both have",
    "sum": "write ev.dot(ev.constant([1, ...], dims=...), x), which sums over a dim",
    "mean": "write ev.dot(ev.constant([1 / n, ...], dims=...), x), which sums over a dim",
    "sqr": "write x ** 2",
    "switch": "write ev.Switch(name, z, [...]), or look up a table by z: table[z]",
    "where": "write ev.Switch(name, z, [...]), or look up a table by z: table[z]",
    "softplus": "write ev.math.log1p(ev.math.exp(x))",
    "log1pexp": "write ev.math.log1p(ev.math.exp(x))",
    "log2": "write ev.math.log(x) / 0.6931471805599453",
    "log10": "write ev.math.log(x) / 2.302585092994046",
    "tanh": "write 2 * ev.math.sigmoid(2 * x) - 1",
    "logsumexp": "write ev.math.log of the sum of ev.math.exp",
    "log_softmax": "write ev.math.log(ev.math.softmax(x, dim=...))",
    "probit": "write ev.math.logit(p), which is much alike",
    "invprobit": "write ev.math.sigmoid(1.702 * x), which is much alike",
    "take": "write x[z] or x[2]",
    "ones": "write numbers: they broadcast by name",
    "zeros": "write numbers: they broadcast by name",
}


def pymc_name(name: str, exists: Sequence[str]) -> str:
    """The sentence of an AttributeError for `ev.<name>`: what to write instead, and what there is."""
    there = f"There are {', '.join(sorted(exists))}."
    if name in NAMES:
        return f"emvsmcmc has no {name}: {NAMES[name]}. {there}"
    if name in OTHERS:
        return f"emvsmcmc has no counterpart of PyMC's {name}; ev.to_pymc(problem) gives a pm.Model to go on with. {there}"
    return f"emvsmcmc has no {name}. {there}"


def math_name(name: str, exists: Sequence[str]) -> str:
    """The same for `ev.math.<name>`."""
    there = f"There are {', '.join(sorted(exists))}, and + - * / ** @."
    return f"ev.math has no {name}: {MATH[name]}. {there}" if name in MATH else f"ev.math has no {name}. {there}"
