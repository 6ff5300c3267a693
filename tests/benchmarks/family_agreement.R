# Families that R's packages fit as well, one line a figure: case, quantity, figure; tabs between.
#
#     Rscript family_agreement.R FOLDER        FOLDER holds one CSV a case, written by family_agreement.py
#
# A package that is not installed gives the line: case, "absent", its name. Tolerances are far past the defaults.

folder <- commandArgs(trailingOnly = TRUE)[1]
table_of <- function(case) read.csv(file.path(folder, paste0(case, ".csv")))
say <- function(case, quantity, x) cat(case, quantity, sprintf("%.12g", x), sep = "\t", fill = TRUE)
quietly <- function(e) { capture.output(v <- suppressWarnings(suppressMessages(e))); v }
with_package <- function(case, name, body) {
    if (!requireNamespace(name, quietly = TRUE)) cat(case, "absent", name, sep = "\t", fill = TRUE) else quietly_run(body)
}
quietly_run <- function(body) body()

with_package("noise", "mclust", function() {
    suppressPackageStartupMessages(library(mclust))
    x <- table_of("noise")$x
    far <- abs(x - median(x)) > 60
    fit <- quietly(Mclust(x, G = 2, modelNames = "V", initialization = list(noise = which(far)), Vinv = 1 / (max(x) - min(x)),
                          control = emControl(tol = c(1e-15, 1e-15), itmax = c(100000, 100000)), verbose = FALSE))
    order_ <- order(fit$parameters$mean)
    say("noise", "log likelihood", fit$loglik)
    say("noise", "mean[0]", fit$parameters$mean[order_][1]); say("noise", "mean[1]", fit$parameters$mean[order_][2])
    sd <- sqrt(fit$parameters$variance$sigmasq)[order_]
    say("noise", "sd[0]", sd[1]); say("noise", "sd[1]", sd[2])
    say("noise", "share of noise", fit$parameters$pro[3])
})
with_package("gamma", "mixtools", function() {
    x <- table_of("gamma")$x
    set.seed(1)
    fit <- quietly(mixtools::gammamixEM(x, k = 2, alpha = c(3, 9), beta = c(0.5, 2), epsilon = 1e-13, maxit = 100000, verb = FALSE))
    pars <- fit$gamma.pars
    order_ <- order(pars["alpha", ] * pars["beta", ])
    say("gamma", "log likelihood", fit$loglik)
    for (k in 1:2) {
        say("gamma", sprintf("alpha[%d]", k - 1), pars["alpha", order_[k]])
        say("gamma", sprintf("rate[%d]", k - 1), 1 / pars["beta", order_[k]])  # mixtools' beta is a scale
    }
})
with_package("negative_binomial", "MASS", function() {
    d <- table_of("negative_binomial")
    fit <- quietly(MASS::glm.nb(y ~ x, data = d, control = glm.control(epsilon = 1e-14, maxit = 1000)))
    say("negative_binomial", "log likelihood", as.numeric(logLik(fit)))
    say("negative_binomial", "a", coef(fit)[1]); say("negative_binomial", "b", coef(fit)[2])
    say("negative_binomial", "alpha", fit$theta)
})
with_package("beta", "VGAM", function() {
    suppressPackageStartupMessages(library(VGAM))
    d <- table_of("beta")
    fit <- quietly(vglm(y ~ 1, betaR, data = d, epsilon = 1e-14, maxit = 1000))
    say("beta", "log likelihood", logLik(fit)); p <- Coef(fit)
    say("beta", "alpha", p[1]); say("beta", "beta", p[2])
})
with_package("beta_binomial", "VGAM", function() {
    suppressPackageStartupMessages(library(VGAM))
    d <- table_of("beta_binomial")
    fit <- quietly(vglm(cbind(y, n - y) ~ 1, betabinomialff, data = d, epsilon = 1e-14, maxit = 1000))
    say("beta_binomial", "log likelihood", logLik(fit)); p <- Coef(fit)
    say("beta_binomial", "alpha", p[1]); say("beta_binomial", "beta", p[2])
})
with_package("weibull", "VGAM", function() {
    suppressPackageStartupMessages(library(VGAM))
    d <- table_of("weibull")
    fit <- quietly(vglm(y ~ 1, weibullR, data = d, epsilon = 1e-14, maxit = 1000))
    say("weibull", "log likelihood", logLik(fit)); p <- Coef(fit)
    say("weibull", "beta", p[1]); say("weibull", "alpha", p[2])
})
