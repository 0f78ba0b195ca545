package daemon

import (
	"log/slog"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"weft/daemon/watchdog"
)

// A notifier tells systemd how the daemon is, when systemd started it.
type notifier struct {
	log  *slog.Logger
	done chan struct{} // closed by stopping
	gone chan struct{} // closed when the beating has ended
}

func startNotify(log *slog.Logger, dog *watchdog.Watchdog) *notifier {
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
	go n.beat(every/3, dog)
	return n
}

// beat pats systemd's watchdog while every loop turns: systemd then restarts
// a daemon that hangs.
func (n *notifier) beat(every time.Duration, dog *watchdog.Watchdog) {
	defer close(n.gone)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-n.done:
			return
		case <-tick.C:
			if dog.Healthy() == nil {
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
