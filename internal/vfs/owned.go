package vfs

import "errors"

// Owned returns a file system for the holder of a lock. Every operation by name first checks that the lock is
// where it was taken. Once it is not, the directory has been moved, its name may be another owner's, and no operation by
// name is done any more: lost is told, each time, and what it returns is the operation's error. Between the check and the
// operation there is no more time than between two system calls.
//
// Files that are open are not affected: they are where the directory is now.
func Owned(fsys FS, lock Lock, lost func(error) error) FS { return &owned{fsys, lock, lost} }

type owned struct {
	fs   FS
	lock Lock
	lost func(error) error
}

// check is called before every operation by name.
func (o *owned) check() error {
	err := o.lock.Check()
	if errors.Is(err, ErrMoved) {
		return o.lost(err)
	}
	return err
}

func (o *owned) Create(name string) (File, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return o.fs.Create(name)
}

func (o *owned) Open(name string) (File, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return o.fs.Open(name)
}

func (o *owned) OpenWrite(name string) (File, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return o.fs.OpenWrite(name)
}

func (o *owned) Remove(name string) error {
	if err := o.check(); err != nil {
		return err
	}
	return o.fs.Remove(name)
}

func (o *owned) Rename(oldname, newname string) error {
	if err := o.check(); err != nil {
		return err
	}
	return o.fs.Rename(oldname, newname)
}

func (o *owned) Link(oldname, newname string) error {
	if err := o.check(); err != nil {
		return err
	}
	return o.fs.Link(oldname, newname)
}

func (o *owned) MkdirAll(name string) error {
	if err := o.check(); err != nil {
		return err
	}
	return o.fs.MkdirAll(name)
}

func (o *owned) ReadDir(name string) ([]string, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return o.fs.ReadDir(name)
}

func (o *owned) Size(name string) (int64, error) {
	if err := o.check(); err != nil {
		return 0, err
	}
	return o.fs.Size(name)
}

func (o *owned) SyncDir(name string) error {
	if err := o.check(); err != nil {
		return err
	}
	return o.fs.SyncDir(name)
}

func (o *owned) Lock(name string) (Lock, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return o.fs.Lock(name)
}

func (o *owned) Abs(name string) (string, error) { return o.fs.Abs(name) }
