// Package watchdog notices when one of the daemon's loops stops turning, and
// keeps the evidence: the stacks of all goroutines, and what the scheduler did in
// the seconds before.
//
//	dog := watchdog.New(watchdog.Config{Limit: 30 * time.Second, Dir: stateDir, Log: log})
//	go dog.Run(ctx)
//
//	loop := dog.Loop("scheduler")
//	defer loop.Done()
//	for {
//		loop.Idle() // nothing to do until something comes: no tick is due
//		event := <-events
//		loop.Tick() // from here on, one is due within the limit
//		handle(event)
//	}
//
// It imports only the standard library. Start reading at [Watchdog.Run].
package watchdog
