# R packages at work: one fit for each line on standard input, one line of JSON for each answer. See workers.py.
#
#     Rscript peers.R PACKAGE FOLDER        FOLDER holds NAME.bin (doubles, first index fastest) and NAME.dim for each array
#
# Seconds are taken around the fit only.

arguments <- commandArgs(trailingOnly = TRUE)
package <- arguments[1]
array_of <- function(name) {
    size <- scan(file.path(arguments[2], paste0(name, ".dim")), quiet = TRUE)
    array(readBin(file.path(arguments[2], paste0(name, ".bin")), "double", prod(size)), size)
}
answer <- function(...) {
    given <- list(...)
    told <- sapply(given, function(v) {
        if (is.character(v)) return(dQuote(v, FALSE))
        inside <- paste(sprintf("%.17g", v), collapse = ", ")
        if (length(v) == 1) inside else paste0("[", inside, "]")
    })
    cat("{", paste(sprintf("\"%s\": %s", names(given), told), collapse = ", "), "}\n", sep = "")
    flush(stdout())
}
if (!suppressWarnings(suppressMessages(requireNamespace(package, quietly = TRUE)))) {
    answer(absent = paste("the R package", package, "is not installed"))
    quit(status = 0)
}
suppressWarnings(suppressMessages(library(package, character.only = TRUE)))
timed <- function(run) {
    began <- Sys.time()
    value <- run()
    list(value = value, seconds = as.numeric(Sys.time() - began, units = "secs"))
}
answer(version = as.character(packageVersion(package)), R = paste(R.version$major, R.version$minor, sep = "."),
       blas = basename(extSoftVersion()[["BLAS"]]))

fits <- list(

    # so many iterations from the same parameters: em() begins with an E-step
    mclust = function() {
        x <- array_of("rows")
        sigma <- aperm(array_of("covariance"), c(2, 3, 1))
        roots <- array(apply(sigma, 3, chol), dim(sigma))
        variance <- list(modelName = "VVV", d = ncol(x), G = dim(sigma)[3], sigma = sigma, cholsigma = roots)
        start <- list(pro = c(array_of("weight")), mean = t(array_of("mean")), variance = variance)
        function(options) {
            iterations <- as.integer(options[1])
            control <- emControl(tol = c(0, 0), itmax = c(iterations, iterations))
            done <- timed(function() em(data = x, modelName = "VVV", parameters = start, control = control, warn = FALSE))
            answer(seconds = done$seconds, log_likelihood = done$value$loglik, iterations = attr(done$value, "info")[["iterations"]])
        }
    },

    # from the given responsibilities, until the log-likelihood changes by less than a share of itself
    flexmix = function() {
        frame <- data.frame(x = c(array_of("x")), y = c(array_of("y")))
        start <- array_of("responsibility")
        function(options) {
            control <- list(iter.max = 100000, minprior = 0, tolerance = as.numeric(options[1]), verbose = 0)
            done <- timed(function() flexmix(y ~ x, data = frame, k = ncol(start), cluster = start, control = control))
            fit <- done$value
            found <- parameters(fit)
            answer(seconds = done$seconds, log_likelihood = as.numeric(logLik(fit)), iterations = fit@iter, weight = prior(fit),
                   intercept = found[1, ], slope = found[2, ], sd = found[3, ])
        }
    },

    # from the given parameters, until the log-likelihood rises by less than so many nats
    mixtools = function() {
        x <- c(array_of("x"))
        y <- c(array_of("y"))
        weight <- c(array_of("weight"))
        sd <- c(array_of("sd"))
        beta <- rbind(c(array_of("intercept")), c(array_of("slope")))
        function(options) {
            run <- function() {
                regmixEM(y, x, lambda = weight, beta = beta, sigma = sd, k = length(weight), epsilon = as.numeric(options[1]),
                         maxit = 100000)
            }
            done <- timed(function() { capture.output(fit <- suppressMessages(run())); fit })
            fit <- done$value
            answer(seconds = done$seconds, log_likelihood = fit$loglik, iterations = length(fit$all.loglik) - 1, weight = fit$lambda,
                   intercept = fit$beta[1, ], slope = fit$beta[2, ], sd = fit$sigma)
        }
    }
)

fit <- fits[[package]]()
input <- file("stdin", "r")
while (length(line <- readLines(input, 1)) > 0) fit(strsplit(line, " ")[[1]][-1])
