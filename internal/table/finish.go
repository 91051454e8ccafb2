package table

import (
	"fmt"

	"github.com/ebbdb/ebb/wal"
)

// Finish completes the table, closes the file and returns the table's properties. A failed Finish leaves a file that is no
// table, for Abort to remove.
//
// The order makes it durable:
//
//  1. The rest of the blocks, then the index, then, last of all, the footer are written. A crash here or before leaves a
//     file without a footer, or whose footer points at bytes that never arrived: Open or the first use of the bytes
//     refuses it. Nothing refers to the file yet, so the next open of the database removes it.
//  2. The file is synced. A crash from here on leaves a whole table, or, as its name may be lost, none.
//  3. The caller syncs the directory, and the table keeps its name.
//  4. The caller commits a manifest that names it; only then may the files that it replaces be deleted.
//
// A sync that fails is not tried again: the kernel may have dropped the pages, and a second one would lie.
func (w *Writer) Finish() (*Properties, error) {
	switch {
	case w.file == nil:
		return nil, ErrFinished
	case w.err != nil:
		return nil, w.err
	case w.sum.Entries == 0 && len(w.sum.RangeDeletes) == 0:
		return nil, ErrEmpty
	}
	if w.batch.Count() > 0 {
		if err := w.finishBlock(); err != nil {
			return nil, err
		}
	}
	properties := w.sum.finish(w.lastKey)
	w.finishSections(properties)
	if err := w.flushAll(); err != nil { // 1
		return nil, err
	}
	if err := w.file.Sync(); err != nil { // 2
		return nil, w.fail(err)
	}
	if err := w.file.Close(); err != nil {
		return nil, w.fail(err)
	}
	w.file = nil
	properties.FileSize = w.written
	return properties, nil
}

// finishSections appends all that follows the blocks.
func (w *Writer) finishSections(p *Properties) {
	var f footer
	f.index = w.section(w.index.append(nil))
	if n := paddingSize(f.index.end()); n > 0 {
		padding := make([]byte, n-controlOverhead)
		padding[0] = typePadding
		w.section(padding)
	}
	f.hash = w.hashPages()
	f.ranges = section{off: f.hash.end()}
	if len(p.RangeDeletes) > 0 {
		f.ranges = w.section(appendRangeDeletes(nil, p.RangeDeletes, w.base))
	}
	f.properties = w.section(p.append(nil, w.base))
	w.section(f.append(nil))
}

// section appends a control record and returns its place in the file.
func (w *Writer) section(payload []byte) section {
	s := section{off: w.written + int64(len(w.buf))}
	w.append(&wal.Record{Value: payload})
	s.size = w.written + int64(len(w.buf)) - s.off
	return s
}

func (w *Writer) hashPages() section {
	s := section{off: w.written + int64(len(w.buf))}
	pages := w.hash.pages()
	part := min(pages, max(layOutPart, pages/4+1))
	payloads := make([]byte, part*pagePayload)
	for first := 0; first < pages; first += part {
		payloads = payloads[:min(part, pages-first)*pagePayload]
		w.hash.layOut(payloads, first, pages)
		for rest := payloads; len(rest) > 0 && w.flush() == nil; rest = rest[pagePayload:] {
			s.size += w.section(rest[:pagePayload]).size
		}
	}
	return s
}

// Abort closes and removes an unfinished file. After Finish has succeeded, and the second time, it does nothing.
func (w *Writer) Abort() error {
	if w.file == nil {
		return nil
	}
	_ = w.file.Close() // whatever it says, the file goes
	w.file = nil
	if err := w.fs.Remove(w.name); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	return nil
}
