package copies

import "github.com/ebbdb/ebb/internal/snapfile"

// Progress tells how much of some snapshot files has been read.
type Progress struct {
	report   func(entries uint64, bytes int64)
	entries  uint64 // of the files that were read to their ends
	bytes    int64  // of the same files
	reported int64  // the bytes of the last report
}

// NewProgress returns a Progress that tells report, if that is not nil, now and then.
func NewProgress(report func(entries uint64, bytes int64)) *Progress {
	return &Progress{report: report}
}

// reportEvery is how many bytes pass between two reports.
const reportEvery = 1 << 20

// at reports if reportEvery bytes have been read since the last report.
func (p *Progress) at(f *snapfile.Reader) {
	if p.report != nil && p.bytes+f.Read()-p.reported >= reportEvery {
		p.now(f)
	}
}

func (p *Progress) now(f *snapfile.Reader) {
	if p.report == nil {
		return
	}
	p.reported = p.bytes + f.Read()
	p.report(p.entries+f.Totals().Entries, p.reported)
}

// End reports that a file was read to its end.
func (p *Progress) End(f *snapfile.Reader) {
	p.now(f)
	p.entries += f.Totals().Entries
	p.bytes += f.Read()
}
