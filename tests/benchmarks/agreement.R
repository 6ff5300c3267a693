# Public R packages on the gallery's data, one line a figure: package, case, quantity, figure as printed; tabs between.
# A package that is not installed gives the one line: its name, "absent".
#
#     Rscript agreement.R FOLDER        FOLDER holds one CSV a case, written by agreement.py
#
# Where a package lets one, fits are run far past its default tolerance: the digits that a loose stopping rule leaves say nothing.

folder <- commandArgs(trailingOnly = TRUE)[1]
table_of <- function(case) read.csv(file.path(folder, paste0(gsub(" ", "_", case), ".csv")))
package <- ""
case <- ""

say <- function(quantity, x, digits = 6, decimals = NULL) {  # significant digits, or a number of decimals
    if (!is.finite(x)) stop(paste0(package, ", ", case, ": no ", quantity))
    figure <- formatC(x, digits = digits, format = "fg", flag = "#")
    if (!is.null(decimals)) figure <- formatC(x, digits = decimals, format = "f")
    cat(package, case, quantity, figure, sep = "\t")
    cat("\n")
}
log_likelihood <- function(x) say("log likelihood", x, 8)
each <- function(name, x, digits = 6) {  # a vector or matrix with its dimnames, or positions from 0
    if (is.matrix(x)) {
        rows <- if (is.null(rownames(x))) seq_len(nrow(x)) - 1 else rownames(x)
        columns <- if (is.null(colnames(x))) seq_len(ncol(x)) - 1 else colnames(x)
        for (i in seq_len(nrow(x))) for (j in seq_len(ncol(x))) {
            say(sprintf("%s[%s, %s]", name, rows[i], columns[j]), x[i, j], digits)
        }
    } else if (length(x) == 1 && is.null(names(x))) {
        say(name, x, digits)
    } else {
        labels <- if (is.null(names(x))) seq_along(x) - 1 else names(x)
        for (i in seq_along(x)) say(sprintf("%s[%s]", name, labels[i]), unname(x[i]), digits)
    }
}
quietly <- function(expression) {
    capture.output(value <- suppressWarnings(suppressMessages(expression)))
    value
}
using <- function(name, body) {
    package <<- name
    if (!quietly(requireNamespace(name, quietly = TRUE))) return(cat(name, "absent\n", sep = "\t"))
    quietly(library(name, character.only = TRUE))
    set.seed(1)
    body()
}
best <- function(fit, tries = 6) {  # the highest of several starts
    fits <- lapply(seq_len(tries), function(i) try(quietly(fit()), silent = TRUE))
    fits <- Filter(function(f) !inherits(f, "try-error"), fits)
    fits[[which.max(sapply(fits, function(f) f$loglik))]]
}

# ----------------------------------------------------------------------------------------------------------------------- stats

using("stats", function() {
    for (k in c(1, 2, 3)) {
        case <<- if (k == 3) "factor_analysis" else sprintf("factor_analysis factors=%d", k)
        X <- as.matrix(table_of(case))
        n <- nrow(X)
        fit <- factanal(X, k, rotation = "none", control = list(nstart = 5, opt = list(factr = 10, pgtol = 0)))
        each("uniqueness", fit$uniquenesses, 4)
        S <- cov(X) * (n - 1) / n
        # its criterion is log|Sigma| + tr(Sigma^-1 S) - log|S| - p
        gain <- fit$criteria[["objective"]]
        log_likelihood(-n / 2 * (ncol(X) * log(2 * pi) + determinant(S)$modulus + ncol(X) + gain))
    }
    case <<- "one_factor"
    fit <- factanal(as.matrix(table_of(case)), 1, control = list(opt = list(factr = 10, pgtol = 0)))
    each("uniqueness", fit$uniquenesses, 4)

    case <<- "one_factor observed=True"
    frame <- table_of(case)
    for (x in c("x1", "x2", "x3", "x4")) {
        fit <- lm(frame[[x]] ~ frame$z)
        say(sprintf("intercept[%s]", x), coef(fit)[1], 6)
        say(sprintf("slope[%s]", x), coef(fit)[2], 6)
        say(sprintf("sd[%s]", x), sqrt(mean(resid(fit)^2)), 6)
    }
    case <<- "missing_bivariate"  # the factored likelihood: x1 in all rows, x2 given x1 in the whole ones
    frame <- table_of(case)
    fit <- lm(x2 ~ x1, frame)
    b <- coef(fit)
    v <- mean((frame$x1 - mean(frame$x1))^2)
    each("mean", c(x1 = mean(frame$x1), x2 = unname(b[1] + b[2] * mean(frame$x1))))
    say("cov[x1, x2]", b[2] * v, 6)
    say("cov[x2, x2]", mean(resid(fit)^2) + b[2]^2 * v, 6)

    for (k in c(1, 2)) {
        case <<- if (k == 2) "probabilistic_pca" else "probabilistic_pca factors=1"
        X <- as.matrix(table_of(case))
        values <- prcomp(X)$sdev^2 * (nrow(X) - 1) / nrow(X)
        say("sd", sqrt(mean(values[-seq_len(k)])), 6)
    }
    for (tied in c(FALSE, TRUE)) {
        case <<- if (tied) "discriminant_analysis labels=100 tied=True" else "discriminant_analysis labels=100"
        frame <- table_of(case)
        parts <- split(frame[1:4], frame$species)
        each("mean", t(sapply(parts, colMeans)))
        own <- lapply(parts, function(p) cov(p) * (nrow(p) - 1) / nrow(p))
        if (tied) each("cov", Reduce(`+`, own) / 3)
        if (!tied) for (s in names(own)) for (m in names(frame)[1:4]) say(sprintf("cov[%s, %s, %s]", s, m, m), own[[s]][m, m], 6)
    }
})

# -------------------------------------------------------------------------------------------------------------------- mixtools

using("mixtools", function() {
    case <<- "old_faithful"
    fit <- best(function() normalmixEM(table_of(case)$waiting, k = 2, epsilon = 1e-13, maxit = 20000))
    o <- order(fit$mu)
    each("weight", fit$lambda[o]); each("mean", fit$mu[o]); each("sd", fit$sigma[o]); log_likelihood(fit$loglik)

    case <<- "old_faithful both=True"
    X <- as.matrix(table_of(case))
    fit <- best(function() mvnormalmixEM(X, k = 2, epsilon = 1e-13, maxit = 20000))
    o <- order(sapply(fit$mu, function(m) m[1]))
    each("weight", fit$lambda[o]); log_likelihood(fit$loglik)
    mean <- do.call(rbind, fit$mu[o])
    dimnames(mean) <- list(0:1, colnames(X))
    each("mean", mean)

    cases <- c("", " shared_noise=True", " covariates=3", " tone=True")
    for (options in cases) {
        case <<- paste0("mixture_of_regressions", options)
        frame <- table_of(case)
        X <- as.matrix(frame[setdiff(names(frame), "y")])
        own <- options %in% c("", " covariates=3")
        fit <- best(function() regmixEM(frame$y, X, k = 2, arbvar = own, epsilon = 1e-13, maxit = 20000))
        o <- order(fit$beta[1, ])
        slope <- t(fit$beta[-1, o, drop = FALSE])
        dimnames(slope) <- NULL
        each("weight", fit$lambda[o], 5); each("intercept", unname(fit$beta[1, o]), 5)
        each("slope", if (ncol(slope) == 1) slope[, 1] else slope, 5)
        each("sd", if (own) fit$sigma[o] else fit$sigma, 5); log_likelihood(fit$loglik)
    }
})

# --------------------------------------------------------------------------------------------------------------------- flexmix

using("flexmix", function() {
    tight <- list(tolerance = 1e-15, iter.max = 20000, minprior = 0)
    fitted <- function(formula, frame, k, model) {
        fits <- lapply(1:6, function(i) quietly(flexmix(formula, data = frame, k = k, model = model, control = tight)))
        fits[[which.max(sapply(fits, logLik))]]
    }
    for (k in c(2, 3)) {
        case <<- if (k == 2) "poisson_mixture" else "poisson_mixture components=3"
        fit <- fitted(count ~ 1, table_of(case), k, FLXMRglm(family = "poisson"))
        rate <- exp(as.vector(parameters(fit)))
        each("weight", prior(fit)[order(rate)], 5); each("rate", sort(rate), 5); log_likelihood(as.numeric(logLik(fit)))
    }
    # its regressions divide the sum of squares by n - p inside EM, which is not maximum likelihood: left out
})

# ---------------------------------------------------------------------------------------------------------------------- mclust

using("mclust", function() {
    tight <- emControl(tol = c(1e-14, 1e-14), itmax = c(20000, 20000))
    cluster <- function(X, k, kind) {
        fit <- Mclust(X, G = k, modelNames = kind, verbose = FALSE, control = tight)
        mean <- as.matrix(fit$parameters$mean)
        if (ncol(mean) == 1) mean <- t(mean)
        o <- order(mean[1, ])
        labels <- if (grepl("discriminant", case)) c("setosa", "versicolor", "virginica") else seq_along(o) - 1
        each("weight", setNames(fit$parameters$pro[o], labels)); log_likelihood(fit$loglik)
        mean <- t(mean[, o, drop = FALSE])
        if (ncol(mean) == 1) return(each("mean", as.vector(mean)))
        dimnames(mean) <- list(labels, colnames(X))
        each("mean", mean)
    }
    case <<- "old_faithful"; cluster(table_of(case)$waiting, 2, "V")
    case <<- "old_faithful both=True"; cluster(table_of(case), 2, "VVV")
    case <<- "gaussian_mixture"; cluster(table_of(case)$x, 3, "V")
    case <<- "discriminant_analysis labels=0"; cluster(table_of(case)[1:4], 3, "VVV")
    case <<- "discriminant_analysis labels=0 tied=True"; cluster(table_of(case)[1:4], 3, "EEE")
})

# ---------------------------------------------------------------------------------------------------------------------- lavaan

using("lavaan", function() {
    # what lavaan estimates, under our names: intercepts ~1 are means, residual variances ~~ are squared sds
    show <- function(fit, mean = "mean", sd = "sd", slope = NULL, own = TRUE) {
        log_likelihood(as.numeric(logLik(fit)))
        found <- parameterEstimates(fit, ci = FALSE)
        intercepts <- found[found$op == "~1" & found$lhs %in% lavNames(fit, "ov"), ]
        each(mean, setNames(intercepts$est, intercepts$lhs), 4)
        each(paste("s.e. of", mean), setNames(intercepts$se, intercepts$lhs), 3)
        noise <- found[found$op == "~~" & found$lhs == found$rhs & found$lhs %in% lavNames(fit, "ov"), ]
        root <- setNames(sqrt(noise$est), noise$lhs)
        error <- setNames(noise$se / (2 * sqrt(noise$est)), noise$lhs)
        each(sd, if (own) root else unname(root[1]), 4)
        each(paste("s.e. of", sd), if (own) error else unname(error[1]), 3)
        if (!is.null(slope)) {
            loadings <- found[found$op == "=~", ]
            each(slope, setNames(loadings$est * sign(loadings$est[1]), loadings$rhs), 4)
            each(paste("s.e. of", slope), setNames(loadings$se, loadings$rhs), 3)
        }
    }
    # at lavaan's own tolerance: below it, it says that it did not converge and gives no standard errors
    run <- function(model, ...) {
        lavaan::cfa(model, data = table_of(case), std.lv = TRUE, meanstructure = TRUE, information = "observed", ...)
    }
    # the loadings above the diagonal are zero: one of the rotations, which changes none of the figures compared
    factors <- function(k, columns) {
        terms <- function(j) paste0("NA*", columns[j:length(columns)], collapse = " + ")
        free <- lapply(seq_len(k), function(j) paste0("f", j, " =~ ", terms(j)))
        paste(c(free, if (k > 1) combn(k, 2, function(p) sprintf("f%d ~~ 0*f%d", p[1], p[2]))), collapse = "\n")
    }
    tests <- paste0("x", 1:9)
    for (k in c(1, 2, 3)) {
        case <<- if (k == 3) "factor_analysis" else sprintf("factor_analysis factors=%d", k)
        show(run(factors(k, tests)))
    }
    case <<- "factor_analysis simulated=True"; show(run(factors(3, tests)))
    case <<- "one_factor"; show(run(factors(1, paste0("x", 1:4))), mean = "intercept", slope = "slope")
    for (k in c(1, 2)) {
        case <<- if (k == 2) "probabilistic_pca" else "probabilistic_pca factors=1"
        tie <- paste(sprintf("x%d ~~ noise*x%d", 1:6, 1:6), collapse = "\n")
        show(run(paste(factors(k, paste0("x", 1:6)), tie, sep = "\n")), own = FALSE)
    }
    for (columns in c(2, 4)) {
        case <<- if (columns == 2) "missing_bivariate" else "missing_bivariate columns=4"
        names <- paste0("x", seq_len(columns))
        pairs <- combn(names, 2, function(p) paste(p, collapse = " ~~ "))
        fit <- run(paste(c(pairs, paste(names, "~ 1"), paste(names, "~~", names)), collapse = "\n"), missing = "ml")
        log_likelihood(as.numeric(logLik(fit)))
        found <- parameterEstimates(fit, ci = FALSE)
        at <- found$op == "~1"
        each("s.e. of mean", setNames(found$se[at], found$lhs[at]), 3)
        # with holes lavaan's optimiser stops early: the three decimals that its summary prints
        for (i in which(at)) say(sprintf("mean[%s]", found$lhs[i]), found$est[i], decimals = 3)
        for (i in which(found$op == "~~")) {
            say(sprintf("cov[%s, %s]", found$lhs[i], found$rhs[i]), found$est[i], decimals = 3)
            say(sprintf("s.e. of cov[%s, %s]", found$lhs[i], found$rhs[i]), found$se[i], 3)
        }
    }
})

# ------------------------------------------------------------------------------------------------------------------------ pscl

using("pscl", function() {
    case <<- "zero_inflated_poisson"
    frame <- table_of(case)
    fit <- zeroinfl(count ~ 1 | 1, data = frame, weights = frame$frequency, reltol = 1e-15)
    say("rate", exp(fit$coefficients$count), 6); say("rest", plogis(fit$coefficients$zero), 6)
    log_likelihood(fit$loglik)
})
