package daemon

import (
	"log/slog"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// A notifier tells systemd how the daemon is, when systemd started it.
type notifier struct {
	log  *slog.Logger
	done chan struct{} // closed by stopping
	gone chan struct{} // closed when the beating has ended
}

func startNotify(log *slog.Logger, w *watch) *notifier {
	n := &notifier{log: log, done: make(chan struct{}), gone: make(chan struct{})}
	n.tell(sd.SdNotifyReady)
	every, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog is not served", "error", err)
	}
	if every <= 0 {
		close(n.gone)
		return n
	}
	go n.beat(every/3, w)
	return n
}

// beat pats systemd's watchdog while every loop turns: systemd then restarts
// a daemon that hangs.
func (n *notifier) beat(every time.Duration, w *watch) {
	defer close(n.gone)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-n.done:
			return
		case <-tick.C:
			if len(w.Silent()) == 0 {
				n.tell(sd.SdNotifyWatchdog)
			}
		}
	}
}

func (n *notifier) stopping() {
	close(n.done)
	<-n.gone
	n.tell(sd.SdNotifyStopping)
}

func (n *notifier) tell(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		n.log.Warn("systemd was not told", "state", state, "error", err)
	}
}
