package gpu

import (
	"os"
	"sync"

	"weft/gpu/train/dataset"
)

// cacheLimit bounds the loaded sets that no job uses and that are kept for the
// next one; they live in memory files, not in the daemon's own memory.
const cacheLimit = 512 << 20

// Data is a loaded data set in a sealed memory file. The daemon holds the
// descriptor and never touches the numbers. Release it when the job that
// needed it is placed or refused.
type Data struct {
	Info  dataset.Info
	file  *os.File
	cache *dataCache
	key   string
	refs  int    // guarded by cache.mu
	used  uint64 // cache's clock at the last use; guarded by cache.mu
}

// Release gives the reference of the Load that returned d back.
func (d *Data) Release() { d.cache.release(d) }

// dataCache keeps loaded sets by dataset.Key while jobs refer to them and, up
// to cacheLimit bytes, afterwards, the least recently used going first.
type dataCache struct {
	mu    sync.Mutex // guards everything below and the fields of Data that say so
	clock uint64
	sets  map[string]*Data
	idle  int64 // bytes of sets without references
}

func newDataCache() *dataCache { return &dataCache{sets: map[string]*Data{}} }

// get returns the set under key with a reference taken, or nil.
func (c *dataCache) get(key string) *Data {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.sets[key]
	if d != nil {
		c.retain(d)
	}
	return d
}

// put stores a newly loaded set and returns it with one reference; when
// another load of the same key was faster, that one is returned.
func (c *dataCache) put(key string, info dataset.Info, file *os.File) *Data {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.sets[key]; d != nil {
		closeQuietly(file)
		c.retain(d)
		return d
	}
	d := &Data{Info: info, file: file, cache: c, key: key, refs: 1}
	c.sets[key] = d
	return d
}

func (c *dataCache) retain(d *Data) {
	if d.refs == 0 {
		c.idle -= d.Info.Bytes
	}
	d.refs++
}

func (c *dataCache) release(d *Data) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.refs == 0 {
		panic("gpu: data set released twice")
	}
	d.refs--
	if d.refs > 0 {
		return
	}
	c.clock++
	d.used = c.clock
	c.idle += d.Info.Bytes
	for c.idle > cacheLimit {
		c.evict(c.oldestIdle())
	}
}

func (c *dataCache) oldestIdle() *Data {
	var oldest *Data
	for _, d := range c.sets {
		if d.refs == 0 && (oldest == nil || d.used < oldest.used) {
			oldest = d
		}
	}
	return oldest
}

func (c *dataCache) evict(d *Data) {
	delete(c.sets, d.key)
	c.idle -= d.Info.Bytes
	closeQuietly(d.file)
}

// close frees the sets that nobody uses; nothing is loaded after it.
func (c *dataCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.sets {
		if d.refs == 0 {
			c.evict(d)
		}
	}
}

// closeQuietly closes a memory file, where close has nothing to flush or lose.
func closeQuietly(f *os.File) { _ = f.Close() }
