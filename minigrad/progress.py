"""What a training shows while it runs, and how it takes Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time

__all__ = ["Progress", "Terminated", "Whole"]

BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {remaining}{postfix}"


class Terminated(SystemExit):
    """SIGTERM: the process shall end, with the code that shells expect then, once all is saved. It has the history."""

    history = None

    def __init__(self):
        super().__init__(128 + signal.SIGTERM)


class Whole:
    """Ctrl-C or SIGTERM inside a ``with`` block of this waits for its end: a step is taken wholly or not at all."""

    SIGNALS = ((signal.SIGINT, signal.default_int_handler, KeyboardInterrupt),
               (signal.SIGTERM, signal.SIG_DFL, Terminated))

    busy = False
    together = False  # with other processes: who installed it looks at ``asked``, and ends all of them at one moment
    asked = None  # what to raise at the end of the block
    broken = False  # a signal came twice, and a step was left half done

    @contextlib.contextmanager
    def installed(self):
        """Have the signals come here, unless this is not the main thread, but not those the program handles itself."""
        main = threading.current_thread() is threading.main_thread()
        ours = [(number, usual, error) for number, usual, error in self.SIGNALS
                if main and signal.getsignal(number) == usual]
        for number, _, error in ours:
            signal.signal(number, lambda *_, error=error: self._handle(error))
        try:
            yield
        finally:
            for number, usual, _ in ours:
                signal.signal(number, usual)

    def _handle(self, error):
        if (self.busy or self.together) and not self.asked:
            self.asked = error
            return
        self.broken = self.busy
        raise error

    def __enter__(self):
        self.busy = True

    def __exit__(self, kind, *_):
        self.busy = False
        self.broken = self.broken or kind is not None
        if self.asked and kind is None and not self.together:
            error, self.asked = self.asked, None
            raise error


class Progress:
    """A tqdm bar for the epoch that runs, and a line for each that is done; only the lines, where no terminal is."""

    def __init__(self, wanted, epochs, steps):
        self.wanted, self.epochs, self.steps, self.bar, self.shown = wanted, epochs, steps, None, 0.0
        self.headed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()

    def begin(self, epoch, step):
        """An epoch begins, after ``step`` steps that were taken earlier."""
        if self.wanted and sys.stderr.isatty():
            from tqdm import tqdm
            self.bar = tqdm(total=self.steps, initial=step, file=sys.stderr, leave=False, dynamic_ncols=True,
                            mininterval=0, bar_format=BAR)
            self.bar.set_description_str(f"epoch {epoch}/{self.epochs}", refresh=False)

    def update(self, step, sums):
        """``step`` steps of the epoch are done; sums: their loss, accuracy and speed so far."""
        now = time.perf_counter()
        if self.bar is not None and (now - self.shown > 0.1 or step == self.steps):
            self.shown = now
            accuracy = "" if sums.accuracy is None else f" acc {sums.accuracy:.2%}"
            self.bar.set_postfix_str(f"loss {sums.loss:.4f}{accuracy} {sums.speed:,.0f}/s", refresh=False)
            self.bar.update(step - self.bar.n)

    def line(self, r):
        """The line of a finished epoch, in columns."""
        columns = [("epoch", f"{r.epoch}/{self.epochs}"), ("loss", f"{r.loss:.4f}"), ("accuracy", _percent(r.accuracy))]
        columns += [("val loss", _four(r.val_loss)), ("accuracy", _percent(r.val_accuracy))]
        columns += [("seconds", f"{r.seconds:.1f}"), ("images/s", f"{r.images_per_second:,.0f}")]
        columns = [(name, value) for name, value in columns if value is not None]
        if not self.headed:
            self.say("  ".join(f"{name:>8}" for name, _ in columns))
            self.headed = True
        self.say("  ".join(f"{value:>8}" for _, value in columns))

    def say(self, text):
        """Print a line where the bar was."""
        self._close()
        if self.wanted:
            print(text, file=sys.stderr, flush=True)

    def _close(self):
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _four(loss):
    return None if loss is None else f"{loss:.4f}"


def _percent(accuracy):
    return None if accuracy is None else f"{accuracy:.2%}"
