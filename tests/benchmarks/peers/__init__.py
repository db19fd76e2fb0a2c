"""The same work in each framework, as its users would write it: one file a framework, and `problem`, what they share.

A file has what its framework offers; what it lacks, or `missing` names with a reason, the benchmark leaves out.

    start(threads)              before anything runs
    versions()                  {name: version}
    Training(problem, variant, seed)  a model with the weights of the problem, and its optimizer
        .optimizer              "Adam" (rate 1e-3, PyTorch's defaults) or "SGD" (rate 1e-3)
        .place(images, labels)  the batch as the framework wants it
        .forward(x, y), .backward(), .update()    the parts of a step, or
        .step(x, y)             all of it, where the parts cannot be told apart; it waits until all is computed
        .loss()                 the loss of the last step, a float
        .accuracy(images, labels)
    RECORDED[op](), PULLED[op]()    record `problem.MANY` ops of eight elements; record one and pull a gradient back
    Chain(n)                    .forward() records n products of scalars one after the other, .backward()
    LBFGS(problem, evaluations) .run() from the weights gives how often the loss was evaluated (a search
                                ends what it has begun), and the least of the first `evaluations` losses
"""
