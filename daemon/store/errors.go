package store

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"weft/daemon/api"
)

const damagedHint = "move the file and its -wal away to start empty, or put a copy of both back"

func notFound(id int64) *api.Error {
	return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no job %d", id), Hint: "weft ls -a lists all jobs"}
}

func damaged(found string) *api.Error {
	return &api.Error{Code: api.CodeDisk, Message: "it is damaged: " + found, Hint: damagedHint}
}

// explainOpen names the file and says what its owner can do.
func (s *Store) explainOpen(err error) error {
	if known, ok := errors.AsType[*api.Error](err); ok {
		return &api.Error{Code: known.Code, Message: "open store " + s.path + ": " + known.Message, Hint: known.Hint}
	}
	if failure, ok := errors.AsType[*sqlite.Error](err); ok {
		switch failure.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return s.explainOpen(damaged(failure.Error()))
		}
	}
	return s.explain("open store "+s.path, err)
}

// explain wraps err, and turns a disk's refusal into words for the user. What
// is in such words already stays as it is.
func (s *Store) explain(verb string, err error) error {
	if known, ok := errors.AsType[*api.Error](err); ok {
		return known
	}
	failure, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", verb, err)
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return &api.Error{Code: api.CodeDisk, Message: verb + ": no space left for " + s.path,
			Hint: "free some space there; weft rm removes ended jobs"}
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return &api.Error{Code: api.CodeDisk, Message: fmt.Sprintf("%s: %s: %v", verb, s.path, failure),
			Hint: "look at the disk and the permissions of the state directory"}
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &api.Error{Code: api.CodeDisk, Message: fmt.Sprintf("%s: %s is damaged: %v", verb, s.path, failure),
			Hint: damagedHint}
	}
	return fmt.Errorf("%s: %w", verb, err)
}
