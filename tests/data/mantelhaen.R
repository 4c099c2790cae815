# Makes mantelhaen.json: Rscript mantelhaen.R > mantelhaen.json
# A case is R's exact p and its strata, each [[passed, decided] of base, [passed, decided] of candidate].

set.seed(1959)

stratum <- function(size, effect) {
  decided <- sample(size, 2, replace = TRUE)
  odds <- rnorm(1, sd = 1.5) + c(0, effect)
  if (runif(1) < 0.1) odds <- rep(Inf, 2)  # all passed: R lets it count for nothing
  rbind(rbinom(2, decided, plogis(odds)), decided)
}

line <- function(strata) {
  x <- array(sapply(strata, function(s) c(s[1, ], s[2, ] - s[1, ])), c(2, 2, length(strata)))
  p <- mantelhaen.test(x, exact = TRUE)$p.value
  sides <- sapply(strata, function(s) sprintf("[[%d, %d], [%d, %d]]", s[1, 1], s[2, 1], s[1, 2], s[2, 2]))
  sprintf("{\"p\": %.17g, \"strata\": [%s]}", p, paste(sides, collapse = ", "))
}

plan <- expand.grid(strata = c(2, 3, 5, 10, 30, 100), size = c(5, 50), effect = c(0, -0.3, 1, -4))
cases <- lapply(seq_len(nrow(plan)), function(i) {
  replicate(plan$strata[i], stratum(plan$size[i], plan$effect[i]), simplify = FALSE)
})
tied <- list(rbind(c(9, 1), c(10, 10)), rbind(c(7, 5), c(10, 10)))  # mirrored outcomes are equally likely
one_sided <- list(rbind(c(4, 0), c(6, 0)), rbind(c(9, 3), c(12, 8)))  # the first has no candidate
cat("[\n", paste(sapply(c(cases, list(tied, one_sided)), line), collapse = ",\n"), "\n]\n", sep = "")
