"""Why `Processor.run` returned."""
(BUDGET, HALTED, TRIPLE_FAULT, RESET_PIN, SHUTDOWN, BREAK, GO_ON, PYTHON_DUE, PYTHON_REMAP, PYTHON_STEP, NOTICED) = range(11)
NAMES = {BUDGET: "instructions", HALTED: "halted", TRIPLE_FAULT: "triple-fault", RESET_PIN: "reset", SHUTDOWN: "shutdown",
         BREAK: "breakpoint"}
