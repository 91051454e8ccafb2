package resp

// Password returns what AUTH has to say now, "" if nobody is asked: CONFIG SET requirepass changes it. It is for who asks for the
// same password elsewhere.
func (s *Server) Password() string { return s.settings.password() }
